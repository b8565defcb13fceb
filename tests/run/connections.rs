//! `--connections`: what there is room for, what descriptors allow, and what is said of those that found no place.

use crate::binary::process::{Catchment, Ended, Http, command, output, samples, total, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::{Command, Stdio};

/// `catchment run` on free ports under a limit of descriptors, as a shell sets it.
fn limited(ulimit: &str, arguments: &[&str]) -> Command {
    let doors = ["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--prometheus", "127.0.0.1:0"];
    let plain = command(&[&["run", "--shards", "2", "--admin", "127.0.0.1:0"], &doors[..], arguments].concat());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {ulimit}; exec \"$0\" \"$@\"")]).arg(plain.get_program());
    command.args(plain.get_args()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    plain.get_envs().filter(|(_, value)| value.is_none()).for_each(|(name, _)| {
        command.env_remove(name);
    });
    command
}

fn refused(arguments: &[&str], ulimit: &str) -> Ended {
    let ended = output(limited(ulimit, arguments));
    assert_eq!(ended.code(), 2, "{ended:?}");
    ended
}

#[test]
fn connections_without_a_place_are_warned_of_with_number_limit_and_remedy() {
    let mut catchment = Catchment::start(&["--connections", "2", "--shards", "1"]);
    assert!(catchment.banner.contains("2 connections"), "{}", catchment.banner);
    let mut held = [catchment.http(), catchment.http()];
    for http in &mut held {
        assert_eq!(http.export(&[]).unwrap().status, 200);
    }
    let one_more = || Http::connect(catchment.ports.otlp_http.unwrap()).and_then(|mut http| http.export(&[]));
    // it is closed at once; had those with a place been idle for a second, one of these would have been
    let _ = one_more();
    catchment.hear(&["WARN", "connections were refused", "connections=1 total=1 limit=2", "raise --connections"]);
    assert_eq!(catchment.terminate().code(), 0);
}

#[test]
fn all_connections_that_were_asked_for_have_a_place() {
    let catchment = Catchment::start(&["--connections", "1500", "--shards", "1"]);
    // the process that tests has both ends' limits, too
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    // more than the default
    let held: Vec<Http> = (0..1_100).map(|_| catchment.http()).collect();
    let mut admin = catchment.admin();
    until("connections", || {
        let page = admin.get("/metrics");
        let page = samples(page.text());
        assert_eq!(total(&page, "catchment_connections_refused_total"), 0.0);
        (total(&page, "catchment_connections_open") == held.len() as f64).then_some(())
    });
    let ended = catchment.terminate();
    assert!(ended.code() == 0 && !ended.stderr.contains("were refused"), "{ended:?}");
}

#[test]
fn the_default_follows_the_hard_limit_of_descriptors() {
    // the soft one is raised
    let catchment = Catchment::spawn(limited("-Sn 64", &[]));
    assert!(catchment.banner.contains("1024 connections"), "{}", catchment.banner);
    assert_eq!(catchment.terminate().code(), 0);
    let catchment = Catchment::spawn(limited("-n 100", &[]));
    let banner = &catchment.banner;
    assert!(banner.contains("39 connections"), "{banner}");
    assert!(banner.contains("to fit 100 descriptors (ulimit -Hn): --connections 39"), "{banner}");
    assert_eq!(catchment.http().export(&[]).unwrap().status, 200);
    let ended = catchment.terminate();
    assert!(ended.code() == 0 && !ended.stderr.contains("WARN"), "{ended:?}");
}

#[test]
fn more_than_descriptors_allow_are_refused_and_so_is_what_is_no_number() {
    let ended = refused(&["--connections", "500"], "-n 400");
    for words in ["--connections 500", "400 descriptors", "at most 288", "LimitNOFILE"] {
        assert!(ended.stderr.contains(words), "{words} in {}", ended.stderr);
    }
    for wrong in ["0", "many", "10M"] {
        let ended = refused(&["--connections", wrong], "-n 400");
        assert!(ended.stderr.contains(&format!("--connections {wrong}: give a number from 1")), "{}", ended.stderr);
    }
}
