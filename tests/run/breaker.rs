//! A destination that is away, and comes back: what the pages and the log say of its breaker.

use crate::binary::backend::{Backend, serve};
use crate::binary::process::{Catchment, samples, until, wall_ns};
use crate::common::{int, number, request, sum};
use prost::Message;
use std::collections::BTreeMap;
use std::net::TcpListener;

/// The breaker opens and says so everywhere; readiness and another destination do not mind; when the destination is there it
/// closes, says so, and everything has arrived.
#[test]
fn a_breaker_is_shown_and_told_of_when_it_opens_and_when_it_closes() {
    // an address that only this test has, for nobody is there yet
    let id = std::process::id();
    let address = format!("127.{}.{}.{}:4319", 128 + (id >> 16) % 64, (id >> 8) % 256, 2 + id % 250);
    let well = Backend::start();
    let mut catchment = Catchment::start(&[
        "--shards",
        "1",
        "--interval",
        "200ms",
        "--out",
        &format!("otlp-http://{address}?name=away&temporality=delta&in-flight=1"),
        "--out",
        &well.url("name=well&temporality=delta"),
        "--out",
        "stdout?name=lines",
    ]);
    let now = wall_ns();
    let body = request(vec![sum("n", 1, true, vec![number(&[], now - 1, now, int(1))])]).encode_to_vec();
    assert_eq!(catchment.grpc().export(&body).unwrap().status, 0);
    let mut admin = catchment.admin();
    let mut destinations = || admin.get("/ledger").json()["destinations"].clone();
    assert_eq!(destinations()["away"]["breaker"]["state"], "closed");
    let row = until("the breaker opens", || {
        let row = destinations()["away"].clone();
        ["open", "half_open"].iter().any(|state| row["breaker"]["state"] == *state).then_some(row)
    });
    let since_ns = row["breaker"]["since_unix_ms"].as_u64().unwrap() * 1_000_000;
    assert!((now - 1_000_000..=wall_ns()).contains(&since_ns), "{row}");
    assert_eq!((&row["queued"], &row["delivered"]), (&1.into(), &0.into()), "it waits");
    let others = destinations();
    assert_eq!((&others["well"]["breaker"]["state"], &others["well"]["delivered"]), (&"closed".into(), &1.into()));
    assert!(others["lines"]["breaker"].is_null(), "{others}");
    let line = catchment.hear(&["the breaker is open", "destination=\"away\""]);
    assert!(line.contains("WARN") && line.contains("remedy=") && line.contains("refused"), "{line}");
    assert_eq!(catchment.admin().get("/readyz").status, 200);
    let value = |name: &str| {
        let page = catchment.admin().get("/metrics");
        let found = samples(page.text()).into_iter().find(|(of, _)| of == name);
        found.unwrap_or_else(|| panic!("{name} is not there: {}", page.text())).1
    };
    // of one page: between two it may have gone from one state to another
    let page = catchment.admin().get("/metrics");
    let of = "catchment_output_breaker_state{destination=\"away\",state=\"";
    let states: BTreeMap<_, _> = samples(page.text()).into_iter().filter(|(name, _)| name.starts_with(of)).collect();
    assert!(states.len() == 3 && states.values().sum::<f64>() == 1.0, "{states:?}");
    assert_eq!(states[&format!("{of}closed\"}}")], 0.0, "{states:?}");
    let change =
        |to: &str| value(&format!("catchment_output_breaker_changes_total{{destination=\"away\",to=\"{to}\"}}"));
    assert!(change("open") >= 1.0 && change("closed") == 0.0);

    let listener = TcpListener::bind(&address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream, |_| 200));
        }
    });
    until("all has arrived", || {
        let row = catchment.admin().get("/ledger").json()["destinations"]["away"].clone();
        (row["delivered"] == 1 && row["breaker"]["state"] == "closed").then_some(())
    });
    assert_eq!(change("closed"), 1.0);
    assert!(value("catchment_output_breaker_since_timestamp_seconds{destination=\"away\"}") > since_ns as f64 * 1e-9);
    catchment.hear(&["the breaker is closed", "destination=\"away\""]);
    assert_eq!(catchment.terminate().code(), 0);
}
