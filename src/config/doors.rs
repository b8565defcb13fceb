//! Where requests and pages are taken in, and whether a destination is one of these doors.
//!
//! Does not know: how an address is looked up, or which ones this machine has; both are asked of `Surroundings`.

use super::reading::Reading;
use super::settings::Setting;
use super::surroundings::Surroundings;
use crate::deliver::{Destination, Endpoint};
use crate::problem::{Flaw, Problem};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a door that is not there is.
pub(super) const OFF: &str = "off";

/// A door: what was asked for, and the address that this is.
pub(super) struct DoorSetting<'a> {
    setting: &'a Setting,
    pub address: Option<SocketAddr>,
    /// Metrics are taken there.
    takes_metrics: bool,
}

impl<'a> DoorSetting<'a> {
    pub(super) fn read(
        reading: &mut Reading<'a>,
        around: &Surroundings<'_>,
        key: &'static str,
        takes_metrics: bool,
    ) -> DoorSetting<'a> {
        let setting = reading.one(key);
        let address = address(&setting.text(), around).unwrap_or_else(|flaw| {
            reading.wrong(setting, flaw);
            None
        });
        DoorSetting { setting, address, takes_metrics }
    }

    pub(super) fn is_off(&self) -> bool {
        self.setting.text() == OFF
    }

    /// What is wrong with a destination that is this door.
    pub(super) fn refuses(&self, out: &Destination, around: &Surroundings<'_>) -> Option<Problem> {
        let text = self.setting.text();
        // of a door that listens already, with the port that it got
        let door = around.listening.of(self.setting.key).or(self.address);
        out.target.endpoint().filter(|endpoint| is_own_door(endpoint, &text, door, around))?;
        let what = if self.takes_metrics { "what leaves would come in again" } else { "which takes no metrics" };
        let fault = format!("this is the own door --{} {text}, {what}", self.setting.key);
        let remedy = "give the backend's address, or another port to the door";
        Some(Problem::new("out", &out.name, Flaw::new(fault).remedy(remedy)))
    }
}

/// Whether a connection to `endpoint` would end at the door that `text` asked for. No name is looked up but `localhost`.
fn is_own_door(endpoint: &Endpoint, text: &str, door: Option<SocketAddr>, around: &Surroundings<'_>) -> bool {
    let Some(door) = door.filter(|door| door.port() == endpoint.port) else { return false };
    let as_written = text.rsplit_once(':').map_or(text, |(host, _)| host);
    if endpoint.host.eq_ignore_ascii_case(as_written) {
        return true;
    }
    let bound = door.ip().to_canonical();
    let is_own = |host: IpAddr| {
        let host = match host.to_canonical() {
            // to connect to no address in particular is to connect to loopback
            IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            host => host,
        };
        // a door on every interface; `[::]` takes IPv4 as well, where the system has it so
        let everywhere = bound.is_unspecified() && (bound.is_ipv6() || host.is_ipv4());
        host == bound || (everywhere && (host.is_loopback() || (around.is_of_this_machine)(host)))
    };
    if endpoint.host.eq_ignore_ascii_case("localhost") {
        return [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into_iter().any(is_own);
    }
    endpoint.host.parse().is_ok_and(is_own)
}

fn address(text: &str, around: &Surroundings<'_>) -> Result<Option<SocketAddr>, Flaw> {
    const ALLOWED: &str = "give HOST:PORT, or off";
    if text == OFF {
        return Ok(None);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let bare = rest.split('/').next().unwrap_or("");
        let remedy = format!("leave out {scheme}://, as in {bare}");
        return Err(Flaw::new("a door is an address, not a URL").remedy(remedy));
    }
    if text.starts_with(':') && !text.starts_with("::") {
        let remedy = format!("write 127.0.0.1{text} for this machine alone, 0.0.0.0{text} for every interface");
        return Err(Flaw::new("there is no host").remedy(remedy));
    }
    let found = (around.look_up)(text).map_err(|error| Flaw::new(error.to_string()).allowed(ALLOWED))?;
    found.map(Some).ok_or_else(|| Flaw::new("this name has no address").allowed(ALLOWED))
}

/// Names that the pages may be asked for by.
pub(super) fn allowed_hosts(reading: &mut Reading<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for setting in reading.settings.all("allowed-host").iter().filter(|setting| !setting.text.is_empty()) {
        let name = setting.text().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            let allowed = "give a name alone, without scheme, port and path, such as gateway.internal";
            reading.wrong(setting, Flaw::outside(allowed));
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::surroundings::tests::around;
    use super::*;
    use crate::deliver::parse_out;

    #[test]
    fn an_own_door_is_known_however_it_is_written() {
        for (door, url, want) in [
            ("127.0.0.1:4317", "otlp-grpc://localhost", true),
            ("127.0.0.1:4317", "otlp-grpc://LOCALHOST:4317", true),
            ("127.0.0.1:4317", "otlp-grpc://0.0.0.0", true),
            ("127.0.0.1:4318", "otlp-http://127.0.0.1/v1/other", true),
            ("127.0.0.1:4317", "otlp-grpcs://127.0.0.1", true),
            ("[::1]:4317", "otlp-grpc://[::1]", true),
            ("[::1]:4317", "otlp-grpc://[0:0:0:0:0:0:0:1]:4317", true),
            ("[::1]:4317", "otlp-grpc://localhost", true),
            ("0.0.0.0:4317", "otlp-grpc://127.0.0.1", true),
            ("0.0.0.0:4317", "otlp-grpc://127.0.0.9", true),
            ("[::]:4317", "otlp-grpc://127.0.0.1", true),
            ("[::]:4317", "otlp-grpc://[::1]", true),
            ("127.0.0.1:4317", "otlp-grpc://127.0.0.1:4320", false),
            ("127.0.0.1:4317", "otlp-http://127.0.0.1", false),
            ("127.0.0.1:4317", "otlp-grpc://backend", false),
            // another address of loopback is another door, and one of documentation is nobody's (RFC 5737)
            ("127.0.0.1:4317", "otlp-grpc://127.0.0.2", false),
            ("0.0.0.0:4317", "otlp-grpc://192.0.2.1", false),
            ("0.0.0.0:4317", "otlp-grpc://[::1]", false),
            ("127.0.0.1:0", "otlp-grpc://127.0.0.1:1", false),
            ("off", "otlp-grpc://localhost", false),
            ("127.0.0.1:4317", "stdout", false),
        ] {
            let out = parse_out(url).unwrap();
            let bound = address(door, &around()).unwrap();
            let own = out.target.endpoint().is_some_and(|endpoint| is_own_door(endpoint, door, bound, &around()));
            assert_eq!(own, want, "{door} {url}");
        }
        // a name is its own address, whatever it stands for
        let out = parse_out("otlp-grpc://Gateway.internal").unwrap();
        let bound = "10.0.0.1:4317".parse().ok();
        assert!(is_own_door(out.target.endpoint().unwrap(), "gateway.internal:4317", bound, &around()));
    }
}
