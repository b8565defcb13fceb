//! Destinations that come, change and go at a reload while clients send: each gets what is its, once, and all is counted.

use crate::binary::backend::{Backend, Received};
use crate::binary::process::{Catchment, Folder, Http, Reply, full, until};
use crate::common::{Any, int, number, request_of, sum};
use prost::Message;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const SENDERS: usize = 3;
const POINTS: u64 = 4;

fn request(sender: usize) -> Vec<u8> {
    let points = (0..POINTS).map(|i| number(&[("sender", &sender.to_string()), ("k", &i.to_string())], 1, 2, int(1)));
    request_of("svc", vec![sum("m", 1, true, points.collect())]).encode_to_vec()
}

fn reload(admin: &mut Http) -> Reply {
    let reply = admin.post("/-/reload", "text/plain", b"").unwrap();
    assert_eq!(admin.get("/ledger").json()["balanced"], true);
    reply
}

/// What lines of a file sum up to.
fn left(path: &Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let of_line = |line: &str| {
        let values = line.split("\"asInt\":\"").skip(1);
        values.map(|rest| rest.split('"').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    text.lines().map(of_line).sum()
}

/// One destination stays, one writes to another file after each reload, one is there at times; while three clients send.
#[test]
fn each_gets_what_is_its_once_while_others_come_and_go() {
    let (runs, reloads) = if full() { (6, 100) } else { (2, 12) };
    for run in 0..runs {
        let folder = Folder::new();
        let (file, stays) = (folder.path("c.yaml"), folder.path("stays"));
        let path = |name: &str| folder.path(name);
        let text = |n: usize| {
            let mut all =
                format!("interval: 100ms\ntemporality: delta\nout:\n- 'file:{}?name=stays'\n", stays.display());
            all += &format!("- 'file:{}?name=moves'\n", path(["one", "two"][n % 2]).display());
            if n.is_multiple_of(3) {
                all += &format!("- 'file:{}?name=guest{}'\n", path("guest").display(), n % 5);
            }
            all
        };
        std::fs::write(&file, text(0)).unwrap();
        let catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--shards", ["1", "2"][run % 2]]);
        let (mut admin, is_over) = (catchment.admin(), AtomicBool::new(false));
        let sent: u64 = std::thread::scope(|scope| {
            let senders = (0..SENDERS).map(|sender| {
                let (mut http, is_over) = (catchment.http(), &is_over);
                scope.spawn(move || {
                    let (body, mut sent) = (request(sender), 0);
                    while !is_over.load(Relaxed) {
                        assert_eq!(http.export(&body).unwrap().status, 200, "on one connection");
                        sent += POINTS;
                    }
                    sent
                })
            });
            let senders: Vec<_> = senders.collect();
            for n in 1..=reloads {
                std::fs::write(&file, text(n)).unwrap();
                let reply = reload(&mut admin);
                assert!(
                    reply.status == 200 && reply.json()["needs_restart"] == serde_json::json!([]),
                    "{n}: {reply:?}"
                );
            }
            is_over.store(true, Relaxed);
            senders.into_iter().map(|sender| sender.join().unwrap()).sum()
        });
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
        let guest = left(&path("guest"));
        assert!(guest > 0 && guest < sent, "{guest} of {sent}");
        assert_eq!((left(&stays), left(&path("one")) + left(&path("two"))), (sent, sent));
        assert!(left(&path("one")) > 0 && left(&path("two")) > 0);
    }
}

/// A destination that nobody answers is given its right address: what waited arrives. One that is taken out has its time, and
/// what it could not take is named.
#[test]
fn a_wrong_address_is_put_right_and_a_dead_destination_is_taken_out() {
    let (folder, backend) = (Folder::new(), Backend::start());
    let file = folder.path("c.yaml");
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = |out: &str| format!("interval: 100ms\nshutdown-timeout: 100ms\n{out}");
    let dead = |name: &str| format!("- 'otlp-http://{nowhere}?temporality=delta&name={name}'\n");
    std::fs::write(&file, text(&format!("out:\n{}{}", dead("moves"), dead("goes")))).unwrap();
    let mut catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--shards", "2"]);
    let (mut admin, mut http) = (catchment.admin(), catchment.http());
    assert_eq!(http.export(&request(1)).unwrap().status, 200);
    let row = |admin: &mut Http, name: &str| admin.get("/ledger").json()["destinations"][name].clone();
    until("both wait", || {
        (row(&mut admin, "moves")["queued"] == POINTS && row(&mut admin, "goes")["queued"] == POINTS).then_some(())
    });
    let right = backend.url("temporality=delta&name=moves");
    std::fs::write(&file, text(&format!("out:\n- '{right}'\n"))).unwrap();
    let reply = reload(&mut admin);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["applied"][0]["now"], "1 (gone goes; changed moves)", "{reply:?}");
    until("what waited", || (row(&mut admin, "moves")["delivered"] == POINTS).then_some(()));
    until("its end", || (row(&mut admin, "goes")["dropped"]["destination_removed"] == POINTS).then_some(()));
    catchment.hear(&["WARN", "goes", "taken out"]);
    // files that a destination names are read again with the rest, and what is wrong with them changes nothing
    std::fs::write(&file, text(&format!("out:\n- '{right}&headers={}'\n", folder.path("absent").display()))).unwrap();
    let reply = reload(&mut admin);
    assert!(reply.status == 400 && reply.text().contains("absent"), "{reply:?}");
    // more than there is memory for
    std::fs::write(&file, text(&format!("out:\n- '{right}&queue=900GiB'\n"))).unwrap();
    let reply = reload(&mut admin);
    assert!(reply.status == 400 && reply.text().contains("?queue="), "{reply:?}");
    assert_eq!(http.export(&request(2)).unwrap().status, 200);
    until("more", || (row(&mut admin, "moves")["delivered"] == 2 * POINTS).then_some(()));
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 3, "points were dropped: {ended:?}");
    assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
}

/// What destinations choose changes with them, where there are rules and where there are none.
#[test]
fn one_that_comes_gets_what_it_chooses() {
    for rules in ["", "rules:\n- {name: r, match: {metric: m}, without: [k], keep_input: true, rename: out}\n"] {
        let folder = Folder::new();
        let file = folder.path("c.yaml");
        let (all, some) = (folder.path("all"), folder.path("some"));
        let text = |more: &str| {
            format!("interval: 100ms\ntemporality: delta\n{rules}out:\n- 'file:{}'\n{more}", all.display())
        };
        std::fs::write(&file, text("")).unwrap();
        let catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--shards", "2"]);
        let (mut admin, mut http) = (catchment.admin(), catchment.http());
        let metrics = || {
            let metric = |name: &str| sum(name, 1, true, vec![number(&[("k", "v")], 1, 2, int(1))]);
            request_of("svc", vec![metric("m"), metric("n")]).encode_to_vec()
        };
        assert_eq!(http.export(&metrics()).unwrap().status, 200);
        std::fs::write(
            &file,
            text(&format!("- {{url: 'file:{}', name: some, match: {{metric: n}}}}\n", some.display())),
        )
        .unwrap();
        assert_eq!(reload(&mut admin).status, 200);
        assert_eq!(http.export(&metrics()).unwrap().status, 200);
        let ended = catchment.terminate();
        assert!(ended.code() == 0 && ended.ledger().ends_with("balanced"), "{ended:?}");
        let some = std::fs::read_to_string(&some).unwrap();
        assert!(some.contains("\"n\"") && !some.contains("\"m\"") && !some.contains("\"out\""), "{some}");
        assert_eq!(left(&all), if rules.is_empty() { 4 } else { 6 });
    }
}

/// One that chose from the start and chooses no longer gets all, though no rule is another.
#[test]
fn one_that_chooses_no_longer_gets_all() {
    let folder = Folder::new();
    let (file, out) = (folder.path("c.yaml"), folder.path("out"));
    let write = |chosen: &str| {
        let one = format!("{{url: 'file:{}', name: one{chosen}}}", out.display());
        std::fs::write(&file, format!("interval: 100ms\ntemporality: delta\nout:\n- {one}\n")).unwrap();
    };
    write(", match: {metric: n}");
    let catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--shards", "2"]);
    let (mut admin, mut http) = (catchment.admin(), catchment.http());
    let metric = |name: &str| sum(name, 1, true, vec![number(&[("k", "v")], 1, 2, int(1))]);
    let body = request_of("svc", vec![metric("m"), metric("n")]).encode_to_vec();
    assert_eq!(http.export(&body).unwrap().status, 200);
    write("");
    assert_eq!(reload(&mut admin).status, 200);
    assert_eq!(http.export(&body).unwrap().status, 200);
    let ended = catchment.terminate();
    assert!(ended.code() == 0 && ended.ledger().ends_with("balanced"), "{ended:?}");
    assert_eq!(left(&out), 3, "of the first request what it chose, of the second all");
}

/// One that chooses less from a reload on is told, once, of the end of each series that it has no more, series and outputs, and the
/// one beside it, which has what it had, is told of none: at servers of both temporalities.
#[test]
fn one_that_chooses_less_is_told_what_ends() {
    for shards in ["1", "2"] {
        let (folder, backends) = (Folder::new(), [Backend::start(), Backend::start()]);
        let file = folder.path("c.yaml");
        let write = |chosen: &str| {
            let [one, other] = [&backends[0], &backends[1]].map(|backend| backend.url("compression=none"));
            let text = format!(
                "interval: 100ms\nrules:\n- {{name: r, match: {{metric: m}}, without: [k]}}\nout:\n\
                 - {{url: '{one}', name: one, temporality: delta{chosen}}}\n- {{url: '{other}', name: other}}\n"
            );
            std::fs::write(&file, text).unwrap();
        };
        write("");
        let catchment = Catchment::start(&["--config", file.to_str().unwrap(), "--shards", shards]);
        let (mut admin, mut http) = (catchment.admin(), catchment.http());
        let metrics = || {
            let of = |name: &str| {
                sum(name, 1, true, (0..40).map(|n| number(&[("k", &n.to_string())], 1, 2, int(1))).collect())
            };
            request_of("svc", vec![of("m"), of("n"), of("o")]).encode_to_vec()
        };
        assert_eq!(http.export(&metrics()).unwrap().status, 200);
        // 80 series and an output
        backends.iter().for_each(|backend| backend.wait("all of it", |received| ends_of(received).0 >= 81));
        write(", match: {metric: n, attributes: {k: '?'}}");
        assert_eq!(reload(&mut admin).status, 200);
        backends[0].wait("the ends", |received| ends_of(received).1 >= 71);
        assert_eq!(http.export(&metrics()).unwrap().status, 200);
        let ended = catchment.terminate();
        assert!(ended.code() == 0 && ended.ledger().ends_with("balanced"), "{ended:?}");
        assert_eq!(backends[0].with(ends_of), (81 + 10, 71), "what it has is told again, and each end once");
        assert_eq!(backends[1].with(ends_of), (2 * 81, 0));
    }
}

/// How many values and ends arrived.
fn ends_of(received: &Received) -> (usize, usize) {
    let points = || received.series.values().flatten();
    let ends = points().filter(|point| matches!(point, Any::Number(point) if point.flags == 1)).count();
    (points().count() - ends, ends)
}
