//! What a service says about health.

use super::*;
use crate::health::*;

/// All that a service with these fields says.
fn health(fields: &str) -> Option<ServiceHealth> {
    let text = format!(
        "[[service]]\naddress = \"tcp://10.0.0.10:80\"\nmode = \"ipip\"\n{fields}\n\
         backends = [\"10.0.0.2\"]\n"
    );
    let checked = parse("lb.toml", &text).unwrap_or_else(|error| panic!("{text}{error}"));
    checked.health.into_values().next()
}

fn check(fields: &str) -> Check {
    health(fields).unwrap().check.unwrap()
}

/// A check of which nothing but its kind is said.
fn plain(kind: CheckKind) -> Check {
    Check {
        kind,
        address: None,
        port: None,
        via: Via::Direct,
        timing: Timing::default(),
    }
}

#[test]
fn a_check_may_be_one_word_and_none_is_the_default() {
    assert_eq!(health(""), None);
    assert_eq!(check("health = \"tcp\""), plain(CheckKind::Tcp));
    assert_eq!(
        check("health = \"http\""),
        plain(CheckKind::Http(HttpCheck::default()))
    );
}

#[test]
fn every_field_of_a_check_arrives() {
    let full = "health = { type = \"https\", path = \"/healthz\", host = \"example.org\", method = \
                \"HEAD\", status = \"200-204,301\", port = 8080, address = \"127.0.0.1\", interval = \
                \"1s\", timeout = \"300ms\", rise = 4, fall = 5, jitter = 0.25, sni = \"a.example\", \
                ca = \"/ca.pem\" }";
    let expected = Check {
        kind: CheckKind::Http(HttpCheck {
            tls: Some(TlsSettings {
                sni: Some("a.example".into()),
                trust: Trust::File("/ca.pem".into()),
            }),
            method: "HEAD".into(),
            path: "/healthz".into(),
            host: Some("example.org".into()),
            status: StatusRanges(vec![(200, 204), (301, 301)]),
            ..HttpCheck::default()
        }),
        address: Some([127, 0, 0, 1].into()),
        port: Some(8080),
        via: Via::Direct,
        timing: Timing {
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(300),
            rise: 4,
            fall: 5,
            jitter_permille: 250,
        },
    };
    assert_eq!(check(full), expected);
}

#[test]
fn every_kind_of_check_arrives() {
    for (fields, kind) in [
        (
            "type = \"http2\", tls = true, verify = false, body = \"ok\"",
            CheckKind::Http(HttpCheck {
                version: HttpVersion::Http2,
                tls: Some(TlsSettings {
                    sni: None,
                    trust: Trust::Anybody,
                }),
                body: Some("ok".into()),
                ..HttpCheck::default()
            }),
        ),
        (
            "type = \"udp\", send = \"hex:00ff\", expect = \"pong\"",
            CheckKind::Udp {
                send: vec![0, 0xff],
                expect: Some(b"pong".to_vec()),
            },
        ),
        (
            "type = \"grpc\", service = \"a.B\"",
            CheckKind::Grpc {
                service: "a.B".into(),
                tls: None,
            },
        ),
        (
            "type = \"command\", command = [\"/bin/check\", \"-x\"]",
            CheckKind::Command {
                command: vec!["/bin/check".into(), "-x".into()],
            },
        ),
    ] {
        assert_eq!(check(&format!("health = {{ {fields} }}")), plain(kind));
    }
}

#[test]
fn the_timeout_is_the_interval_but_no_more_than_five_seconds() {
    let via = check("health = { type = \"tcp\", via = \"service\", interval = \"8s\" }");
    assert_eq!(via.via, Via::Service);
    assert_eq!(via.timing.timeout, Timing::TIMEOUT);
}

#[test]
fn what_stands_beside_a_check_arrives() {
    let rest = health(
        "agent = { port = 9999, send = \"hello\\n\", interval = \"500ms\" }\non_down = \"keep\"\n\
         slow_start = \"30s\"\npanic_threshold = 50\n\
         sorry = [\"10.0.0.99\", { address = \"10.0.0.98\", weight = 2 }]",
    )
    .unwrap();
    let agent = rest.agent.unwrap();
    assert_eq!(agent.port, Some(9999));
    assert_eq!(
        agent.kind,
        CheckKind::Agent {
            send: b"hello\n".to_vec()
        }
    );
    assert_eq!(agent.timing.timeout, Duration::from_millis(500));
    assert_eq!((rest.check, rest.on_down), (None, OnDown::Keep));
    assert_eq!(rest.slow_start, Duration::from_secs(30));
    assert_eq!(rest.panic_threshold, 50);
    let sorry = [backend(99, None, 1, None), backend(98, None, 2, None)];
    assert_eq!(rest.sorry, sorry);
}
