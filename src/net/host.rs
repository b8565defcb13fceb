//! Which host a request is for: Host and `:authority`, as they have to be.
//!
//! Pure: a head in, a fault or none out. Does not know who is served; `check` takes every name to be as good as another. It
//! looks because two servers that read a request in two ways send it to two places.
//!
//! Refused: HTTP/1.1 without Host; Host twice, or one that is no host and port, in any version; over HTTP/2 a Host that
//! names another than `:authority`. HTTP/1.0 needs none, and in HTTP/2 `:authority` stands for it.
//!
//! Source: RFC 9112, 3.2; RFC 9110, 7.2; RFC 9113, 8.3.1; RFC 3986, 3.2.2.

use http::header::HOST;
use http::{HeaderMap, Uri, Version};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What is wrong with the Host of a request, in words.
///
/// # Errors
/// The words; the request is to be answered 400.
pub fn check(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut lines = headers.get_all(HOST).iter();
    let Some(host) = lines.next() else {
        return if version == Version::HTTP_11 { Err("a request of HTTP/1.1 must have a Host header") } else { Ok(()) };
    };
    if lines.next().is_some() {
        return Err("the Host header is there twice");
    }
    if !is_host(host.as_bytes()) {
        return Err("the Host header is no host and port");
    }
    // over HTTP/1.1 what an absolute target says goes before Host, over HTTP/2 the two must agree
    match uri.authority() {
        Some(authority) if version == Version::HTTP_2 => {
            let is_same = bare(host.as_bytes()).eq_ignore_ascii_case(bare(authority.as_str().as_bytes()));
            if is_same { Ok(()) } else { Err("the Host header names another than :authority") }
        }
        _ => Ok(()),
    }
}

/// Whether the request is for `localhost`, an address, nobody in particular, or one of `names`, whatever the port. Browsers
/// always send Host, so a page whose name was made to point here (DNS rebinding) cannot do without its own. An absolute
/// target goes before Host, which is looked at all the same.
pub fn is_allowed(uri: &Uri, headers: &HeaderMap, names: &[String]) -> bool {
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let hosts = headers.get_all(HOST).iter().map(|host| host.as_bytes());
    authority.into_iter().chain(hosts).all(|host| {
        let Ok(host) = std::str::from_utf8(host) else { return false };
        if let Some(rest) = host.strip_prefix('[') {
            return rest.split_once(']').is_some_and(|(inner, _)| inner.parse::<Ipv6Addr>().is_ok());
        }
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        let is = |other: &str| name.eq_ignore_ascii_case(other.strip_suffix('.').unwrap_or(other));
        host.is_empty() || is("localhost") || name.parse::<Ipv4Addr>().is_ok() || names.iter().any(|other| is(other))
    })
}

/// Whether this is `uri-host [ ":" port ]`; both may be empty.
fn is_host(value: &[u8]) -> bool {
    let end = match value.first() {
        Some(b'[') => value.iter().position(|&byte| byte == b']').map_or(0, |at| at + 1),
        _ => value.iter().position(|&byte| byte == b':').unwrap_or(value.len()),
    };
    let (name, port) = value.split_at(end);
    let is_port =
        port.split_first().is_none_or(|(&colon, digits)| colon == b':' && digits.iter().all(u8::is_ascii_digit));
    let is_name = match name {
        [b'[', inner @ .., b']'] => !inner.is_empty() && inner.iter().all(|&byte| byte == b':' || is_plain(byte)),
        name => name.iter().enumerate().all(|(at, &byte)| match byte {
            b'%' => name.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)),
            byte => is_plain(byte),
        }),
    };
    is_name && is_port
}

/// RFC 3986: unreserved, or a sub-delimiter.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

/// Without the port that is the default anyway.
fn bare(host: &[u8]) -> &[u8] {
    [&b":80"[..], b":443", b":"].iter().find_map(|port| host.strip_suffix(*port)).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn verdict(version: Version, uri: &str, hosts: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        check(version, &uri.parse().unwrap(), &headers).is_ok()
    }

    /// RFC 9112, 3.2: one Host over HTTP/1.1, at most one over HTTP/1.0.
    #[test]
    fn there_is_one_host() {
        for (version, none) in [(Version::HTTP_11, false), (Version::HTTP_10, true), (Version::HTTP_2, true)] {
            assert_eq!(verdict(version, "/", &[]), none, "{version:?}");
            assert!(verdict(version, "/", &["a"]), "{version:?}");
            assert!(!verdict(version, "/", &["a", "a"]), "{version:?}");
            assert!(!verdict(version, "/", &["a", "b"]), "{version:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_and_a_port() {
        for host in
            ["", "a", "a.b-c_d", "A:4318", "a:", ":1", "127.0.0.1:80", "[::1]", "[::1]:80", "%41b", "x!$&'()*+,;=~"]
        {
            assert!(verdict(Version::HTTP_11, "/", &[host]), "{host:?}");
        }
        for host in [
            "a b", "a/b", "a@b", "a:b", "a:1:2", "http://a", "a?", "a#", "[", "[]", "[::1", "[::1]x", "%4", "%zz",
            "\"a\"", "a\t",
        ] {
            assert!(!verdict(Version::HTTP_11, "/", &[host]), "{host:?}");
        }
    }

    #[test]
    fn names_have_to_be_allowed_and_addresses_do_not() {
        let names = ["Gateway.internal".to_string()];
        let allowed = |uri: &str, host: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            is_allowed(&uri.parse().unwrap(), &headers, &names)
        };
        for host in [
            "",
            "localhost",
            "LocalHost.:9465",
            "127.0.0.1",
            "10.1.2.3:9465",
            "[::1]",
            "[fe80::1]:9465",
            "gateway.internal:9465",
            "GATEWAY.INTERNAL.",
        ] {
            assert!(allowed("/", host), "{host:?}");
        }
        for host in [
            "x",
            "attacker.example:9465",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "0x7f000001",
            "127.1",
            "internal",
            "a.gateway.internal",
            "[::1",
            "[x]",
            ":9465",
            ".",
        ] {
            assert!(!allowed("/", host), "{host:?}");
        }
        assert!(allowed("http://localhost/", "localhost"));
        assert!(!allowed("http://attacker.example/", "localhost"), "the target goes before");
        assert!(!allowed("http://localhost/", "attacker.example"));
        assert!(is_allowed(&"/".parse().unwrap(), &HeaderMap::new(), &[]), "HTTP/1.0");
    }

    /// RFC 9113, 8.3.1: over HTTP/2 both must name the same.
    #[test]
    fn host_and_authority_agree() {
        let table = [
            ("http://a/", "a", true),
            ("http://a/", "A", true),
            ("http://a:80/", "a", true),
            ("http://a/", "a:80", true),
            ("http://a:4317/", "a:4317", true),
            ("http://a:4317/", "a", false),
            ("http://a/", "b", false),
            ("http://a/", "", false),
        ];
        for (uri, host, agree) in table {
            assert_eq!(verdict(Version::HTTP_2, uri, &[host]), agree, "{uri} {host}");
            assert!(verdict(Version::HTTP_11, uri, &[host]), "the target goes before");
        }
    }
}
