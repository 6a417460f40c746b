//! The table of errors, and what good configurations become.

mod health;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use engine::desired::{Affinity, Backend, Mac, Protocol, Service, ServiceId, ServicePort};

use super::*;

/// Cases separated by lines of `=`: the input, a line `---`, the errors in full. An input that
/// begins with `$` is flags. `UPDATE_EXPECT=1` writes what comes out; read the diff then.
const ERRORS: &str = include_str!("errors.txt");
/// A service.
const ONE: &str = "[[service]]\naddress = \"tcp://10.0.0.10:80\"\nbackends = [\"10.0.0.2\"]";
const SEPARATOR: &str = "\n================================\n";

fn errors_of(input: &str) -> String {
    let result = match input.strip_prefix("$ ") {
        Some(flags) => run_flags(flags),
        None => parse("lb.toml", input),
    };
    match result {
        Ok(_) => "no errors".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// `eth0 --service S --backend B --weight W`, as clap would take it apart.
fn run_flags(line: &str) -> Result<Checked, ConfigError> {
    let mut values: HashMap<&str, Vec<String>> = HashMap::new();
    let mut flag = "";
    for word in line.split(' ') {
        if word.starts_with("--") {
            flag = word;
        } else {
            values.entry(flag).or_default().push(word.to_owned());
            flag = "";
        }
    }
    let all = |name| values.get(name).map_or(&[][..], Vec::as_slice);
    from_flags(FlagInput {
        interfaces: all(""),
        service: &all("--service")[0],
        mode: all("--mode").first().map(String::as_str),
        backends: all("--backend"),
        weights: all("--weight"),
        health: all("--health").first().map(String::as_str),
    })
}

#[test]
fn every_error_says_what_was_found_expected_and_what_to_write() {
    let mut actual = Vec::new();
    let mut wrong = Vec::new();
    for case in ERRORS.trim_end().split(SEPARATOR) {
        let (input, expected) = case.split_once("\n---\n").unwrap_or((case, ""));
        let errors = errors_of(input);
        if errors != expected {
            wrong.push(format!(
                "{input}\n--- expected\n{expected}\n--- found\n{errors}"
            ));
        }
        actual.push(format!("{input}\n---\n{errors}"));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/tests/errors.txt");
        std::fs::write(path, actual.join(SEPARATOR) + "\n").unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn problems_have_line_and_column() {
    let error = parse("lb.toml", "interfaces = []\nseed = \"é\"\n").unwrap_err();
    let ConfigError::Invalid(problems) = &error else {
        panic!("{error}")
    };
    assert_eq!(problems.position(&error.problems()[0]), Some((2, 8)));
}

#[test]
fn the_example_parses_and_the_defaults_it_shows_are_the_defaults() {
    let checked = parse("example.toml", EXAMPLE).unwrap();
    assert_eq!(checked.warnings, [] as [String; 0]);
    let shown: String = EXAMPLE.lines().fold(String::new(), |mut text, line| {
        let field = line.strip_prefix("# ").filter(|rest| {
            let key = rest.split(" = ").next().unwrap_or_default();
            rest.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        });
        writeln!(text, "{}", field.unwrap_or(line)).unwrap();
        text
    });
    let full = parse("shown.toml", &shown).unwrap();
    assert_eq!(full.metrics.per_backend, checked.metrics.per_backend);
    let (full, plain) = (full.desired, checked.desired);
    assert_eq!(
        full.nat.address.map(IpAddr::from),
        Some(IpAddr::from([10, 0, 0, 10]))
    );
    assert_eq!(full.services[0].ring_log2, Some(10));
    assert_eq!(
        (full.nat.first_port, full.nat.last_port),
        (plain.nat.first_port, plain.nat.last_port)
    );
    assert_eq!(full.timeouts, plain.timeouts);
    assert_eq!(full.limits, plain.limits);
    assert_eq!(
        (full.tunnel.ttl, full.tunnel.entropy),
        (plain.tunnel.ttl, plain.tunnel.entropy)
    );
    for (full, plain) in full.services.iter().zip(&plain.services) {
        let shown = Service {
            ring_log2: plain.ring_log2,
            ..full.clone()
        };
        assert_eq!(shown, *plain);
    }
    assert_eq!((full.seed, plain.seed), (DEFAULT_SEED, DEFAULT_SEED));
}

fn backend(last: u8, port: Option<u16>, weight: u32, mac: Option<u8>) -> Backend {
    Backend {
        port,
        weight,
        mac: mac.map(|byte| Mac([0xde, 0xad, 0xbe, 0xef, 0, byte])),
        ..Backend::new([10, 0, 0, last])
    }
}

#[test]
fn every_field_arrives() {
    let text = r#"
interfaces = ["eth0", "eth1"]
seed = 7
[nat]
address = "10.0.0.11"
ports = "2000-3000"
[timeouts]
half_open = "5s"
established = "1d2h3m4s"
udp = "1m"
rest = "2s"
[limits]
flows = 1_000
half_open_flows = 10
[[service]]
address = "tcp://10.0.0.10:8000"
mode = "nat"
affinity = "source"
ring_slots = 65536
backends = [
    "10.0.0.2",
    "10.0.0.3:9000@de:ad:be:ef:00:03",
    { address = "10.0.0.4", port = 9000, mac = "DE:AD:BE:EF:00:04", weight = 3 },
    { address = "10.0.0.5:1", weight = 0 },
]
[[service]]
address = "udp://10.0.0.10:*"
[[service.backends]]
address = "10.0.0.6"
"#;
    let desired = parse("lb.toml", text).unwrap().desired;
    assert_eq!(desired.interfaces, ["eth0", "eth1"]);
    assert_eq!(desired.seed, 7);
    assert_eq!(
        desired.nat.address.map(IpAddr::from),
        Some(IpAddr::from([10, 0, 0, 11]))
    );
    assert_eq!(
        (desired.nat.first_port, desired.nat.last_port),
        (2000, 3000)
    );
    let seconds = |timeout: Duration| timeout.as_secs();
    assert_eq!(seconds(desired.timeouts.half_open), 5);
    assert_eq!(
        seconds(desired.timeouts.established),
        86_400 + 2 * 3_600 + 3 * 60 + 4
    );
    assert_eq!(
        (
            seconds(desired.timeouts.udp),
            seconds(desired.timeouts.rest)
        ),
        (60, 2)
    );
    assert_eq!(
        (desired.limits.flows, desired.limits.half_open_flows),
        (1_000, 10)
    );
    let [tcp, udp] = &desired.services[..] else {
        panic!("{desired:?}")
    };
    assert_eq!(tcp.id.to_string(), "tcp://10.0.0.10:8000");
    assert_eq!(
        (tcp.affinity, tcp.ring_log2),
        (Affinity::SourceAddress, Some(16))
    );
    assert_eq!(
        tcp.backends,
        [
            backend(2, None, 1, None),
            backend(3, Some(9000), 1, Some(3)),
            backend(4, Some(9000), 3, Some(4)),
            backend(5, Some(1), 0, None),
        ]
    );
    assert_eq!(
        udp.id,
        ServiceId {
            protocol: Protocol::Udp,
            address: [10, 0, 0, 10].into(),
            port: ServicePort::Any,
        }
    );
    assert_eq!(udp.backends, [backend(6, None, 1, None)]);
}

/// A file with one service, as far as it goes beyond its address and backends.
fn one(address: &str, fields: &str, backends: &str) -> Service {
    let text = format!("[[service]]\naddress = \"{address}\"\n{fields}\nbackends = [{backends}]\n");
    let checked = parse("lb.toml", &text).unwrap_or_else(|error| panic!("{text}{error}"));
    checked.desired.services[0].clone()
}

#[test]
fn service_addresses_are_addresses_and_prefixes_of_both_families() {
    // What is written, and how it is shown if that differs.
    for (written, shown) in [
        ("tcp://10.0.0.10:80", ""),
        ("udp://10.0.0.10:*", ""),
        ("tcp://[2001:db8::10]:80", ""),
        ("tcp://[2001:DB8:0:0::10]:*", "tcp://[2001:db8::10]:*"),
        ("tcp://10.0.0.10/32:80", "tcp://10.0.0.10:80"),
        ("tcp://10.1.0.0/24:80", ""),
        ("tcp://0.0.0.0/0:80", ""),
        ("tcp://169.254.0.0/16:80", ""),
        ("udp://[2001:db8::/64]:443", ""),
        ("udp://[::/0]:*", ""),
        ("udp://[2001:db8::1/128]:443", "udp://[2001:db8::1]:443"),
    ] {
        let service = one(written, "mode = \"ipip\"", "\"10.9.0.2\", \"fd00::2\"");
        let expected = if shown.is_empty() { written } else { shown };
        assert_eq!(service.id.to_string(), expected);
    }
}

#[test]
fn metrics_are_served_where_it_is_said_and_nowhere_else() {
    let checked = |text: &str| parse("lb.toml", &format!("{text}\n{ONE}")).unwrap();
    let silent = checked("");
    assert_eq!(silent.metrics, MetricsSettings::default());
    assert_eq!(silent.metrics.listen, None);
    let local = checked("[metrics]\nlisten = \"[::1]:9464\"\nper_backend = false");
    let listen = "[::1]:9464".parse().ok();
    let per_backend = false;
    let settings = MetricsSettings {
        listen,
        per_backend,
    };
    assert_eq!((local.metrics, local.warnings), (settings, vec![]));
    let open = checked("[metrics]\nlisten = \"0.0.0.0:9464\"");
    assert_eq!(open.warnings.len(), 1);
    assert!(open.warnings[0].starts_with("whoever reaches 0.0.0.0:9464 can read the metrics"));
}

#[test]
fn backends_are_written_in_one_word_in_both_families() {
    let mac = Some(Mac([0xde, 0xad, 0xbe, 0xef, 0, 2]));
    for (written, port, mac) in [
        ("2001:db8::2", None, None),
        ("[2001:db8::2]", None, None),
        ("[2001:db8::2]:8080", Some(8080), None),
        ("2001:db8::2@de:ad:be:ef:00:02", None, mac),
        ("[2001:db8::2]:8080@de:ad:be:ef:00:02", Some(8080), mac),
    ] {
        let service = one("tcp://[2001:db8::10]:80", "", &format!("\"{written}\""));
        let address: IpAddr = "2001:db8::2".parse().unwrap();
        let expected = Backend {
            port,
            mac,
            ..Backend::new(address)
        };
        assert_eq!(service.backends, [expected], "{written}");
    }
}

#[test]
fn the_fields_of_a_service_arrive() {
    use engine::desired::{BackendState, ForwardingMode, NoBackend, Quic, QuicServerId, Track};
    let udp = "udp://10.0.0.10:443";
    let backend = Backend::new([10, 0, 0, 2]);
    let plain = one(udp, "", "\"10.0.0.2\"");
    let with = |change: fn(&mut Service)| {
        let mut service = plain.clone();
        change(&mut service);
        service
    };
    assert_eq!(plain, Service::new(plain.id, vec![backend]));
    for (fields, expected) in [
        ("mode = \"dnat\"", with(|s| s.mode = ForwardingMode::Dnat)),
        (
            "mode = \"l2-dsr\"",
            with(|s| s.mode = ForwardingMode::L2Dsr),
        ),
        ("mode = \"ipip\"", with(|s| s.mode = ForwardingMode::Ipip)),
        ("mode = \"gue\"", with(|s| s.mode = ForwardingMode::Gue)),
        (
            "mode = \"gue\"\ngue_port = 1",
            with(|s| (s.mode, s.backends[0].gue_port) = (ForwardingMode::Gue, 1)),
        ),
        (
            "affinity = \"source-destination\"",
            with(|s| s.affinity = Affinity::SourceAndDestination),
        ),
        ("track = \"always\"", with(|s| s.track = Track::Always)),
        ("track = \"never\"", with(|s| s.track = Track::Never)),
        (
            "transition_window = \"1d\"",
            with(|s| s.transition_window = MAX_TRANSITION_WINDOW),
        ),
        ("echo = false", with(|s| s.echo = false)),
        ("no_backend = \"reject\"", plain.clone()),
        (
            "no_backend = \"drop\"",
            with(|s| s.no_backend = NoBackend::Drop),
        ),
        ("quic = false", plain.clone()),
    ] {
        assert_eq!(one(udp, fields, "\"10.0.0.2\""), expected, "{fields}");
    }
    for (written, quic, id) in [
        ("true", Quic::default(), &[10, 11, 12, 13][..]),
        ("{}", Quic::default(), &[10, 11, 12, 13]),
        (
            "{ server_id_length = 1, config = 6 }",
            Quic {
                server_id_length: 1,
                config: 6,
            },
            &[10],
        ),
    ] {
        let id = QuicServerId::new(id).unwrap();
        let backend = format!("{{ address = \"10.0.0.2\", quic_server_id = \"{id}\" }}");
        let service = one(udp, &format!("quic = {written}"), &backend);
        assert_eq!(service.quic, Some(quic));
        assert_eq!(service.backends[0].quic_server_id, Some(id));
    }
    for (word, state) in BackendState::ALL {
        let backend = format!("{{ address = \"10.0.0.2\", state = \"{word}\" }}");
        assert_eq!(one(udp, "", &backend).backends[0].state, state);
    }
}

#[test]
fn the_settings_of_an_instance_arrive() {
    let text = "[nat]\naddress6 = \"2001:db8::1\"\n[tunnel]\nsource = \"10.0.0.1\"\n\
                source6 = \"2001:db8::2\"\nttl = 255\nentropy = true\n[limits]\n\
                exceptions = 7\nexceptions_per_second = 8\nicmp_errors_per_second = 0\n\
                rejections_per_second = 9\n";
    let desired = parse("lb.toml", text).unwrap().desired;
    let show = |address: Option<IpAddr>| address.unwrap().to_string();
    assert_eq!(show(desired.nat.address6.map(IpAddr::V6)), "2001:db8::1");
    let tunnel = &desired.tunnel;
    assert_eq!(show(tunnel.source.map(IpAddr::V4)), "10.0.0.1");
    assert_eq!(show(tunnel.source6.map(IpAddr::V6)), "2001:db8::2");
    assert_eq!((tunnel.ttl, tunnel.entropy), (255, true));
    let limits = &desired.limits;
    assert_eq!(
        (
            limits.exceptions,
            limits.exceptions_per_second,
            limits.icmp_errors_per_second,
            limits.rejections_per_second
        ),
        (7, 8, 0, 9)
    );
}

#[test]
fn an_address_answers_echo_unless_one_of_its_services_says_no() {
    let service = |address: &str, echo: &str| {
        format!("[[service]]\naddress = \"{address}\"\n{echo}\nbackends = [\"10.0.0.2\"]\n")
    };
    let text = service("tcp://10.0.0.10:80", "")
        + &service("udp://10.0.0.10:80", "echo = false")
        + &service("tcp://10.0.0.11:80", "");
    let services = parse("lb.toml", &text).unwrap().desired.services;
    let echo: Vec<bool> = services.iter().map(|service| service.echo).collect();
    assert_eq!(echo, [false, false, true]);
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let warnings = |mode: &str, fields: &str, backend: &str| {
        let text = format!(
            "[[service]]\naddress = \"tcp://10.0.0.10:80\"\nmode = \"{mode}\"\n{fields}\n\
             backends = [{{ address = \"10.0.0.2\", {backend} }}]\n"
        );
        parse("lb.toml", &text).unwrap().warnings.len()
    };
    assert_eq!(warnings("nat", "track = \"always\"", "weight = 1"), 1);
    assert_eq!(
        warnings("nat", "transition_window = \"1m\"", "weight = 1"),
        1
    );
    assert_eq!(warnings("ipip", "track = \"always\"", "weight = 1"), 0);
    assert_eq!(warnings("ipip", "", "state = \"drain\""), 1);
    assert_eq!(warnings("nat", "", "state = \"down\""), 1);
    assert_eq!(
        warnings(
            "nat",
            "slow_start = \"1s\"\non_down = \"keep\"",
            "weight = 1"
        ),
        2
    );
    assert_eq!(
        warnings("nat", "slow_start = \"1s\"\nhealth = \"tcp\"", "weight = 1"),
        0
    );
}

#[test]
fn flags_become_one_service_with_weights_in_the_order_of_its_backends() {
    let line = "eth0 eth1 --service tcp://10.0.0.10:8000 --backend 10.0.0.2 --weight 3 \
                --backend 10.0.0.3:81@de:ad:be:ef:00:03 --weight 0";
    let desired = run_flags(line).unwrap().desired;
    assert_eq!(desired.interfaces, ["eth0", "eth1"]);
    assert_eq!(desired.seed, DEFAULT_SEED);
    let moded = run_flags("eth0 --service tcp://10.0.0.10:80 --mode gue --backend 2001:db8::2");
    assert_eq!(moded.unwrap().desired.services[0].mode.to_string(), "gue");
    assert_eq!(
        desired.services[0].backends,
        [backend(2, None, 3, None), backend(3, Some(81), 0, Some(3))]
    );
}

#[test]
fn an_empty_file_is_valid_and_warned_about() {
    let checked = parse("lb.toml", "").unwrap();
    assert_eq!(checked.warnings.len(), 1, "{:?}", checked.warnings);
}

#[test]
fn more_than_fit_are_refused_once() {
    let mut text = String::new();
    for service in 0..=MAX_SERVICES {
        let (high, low) = (service / 250, service % 250);
        write!(
            text,
            "[[service]]\naddress = \"tcp://10.1.{high}.{low}:80\"\nbackends = [\"10.0.0.2\"]\n"
        )
        .unwrap();
    }
    text += "[[service]]\naddress = \"tcp://10.2.0.1:80\"\nbackends = [";
    for backend in 0..MAX_BACKENDS {
        let (high, low) = (backend / 250, backend % 250);
        write!(text, "\"10.{}.{}.{low}\",", 3 + high / 250, high % 250).unwrap();
    }
    text += "]\n";
    let error = parse("lb.toml", &text).unwrap_err();
    let found: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| &problem.found)
        .collect();
    assert_eq!(
        found,
        ["more than 16384 services", "more than 262144 backends"]
    );
}

#[test]
fn ten_thousand_services_of_six_backends_take_well_under_a_second() {
    let mut text = String::from("interfaces = [\"eth0\"]\n");
    for service in 0..10_000 {
        let (high, low) = (service / 250, service % 250);
        write!(
            text,
            "[[service]]\naddress = \"tcp://10.1.{high}.{low}:80\"\nbackends = ["
        )
        .unwrap();
        for backend in 1..=6 {
            write!(
                text,
                "\"10.{}.{high}.{low}@de:ad:be:ef:00:02\", ",
                10 + backend
            )
            .unwrap();
        }
        text += "]\n";
    }
    let start = Instant::now();
    let desired = parse("lb.toml", &text).unwrap().desired;
    let took = start.elapsed();
    println!("{} bytes in {took:?}", text.len());
    assert_eq!(desired.services.len(), 10_000);
    // Unoptimized builds on a busy machine are an order of magnitude slower than a release.
    assert!(
        took < Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 }),
        "{took:?}"
    );
}

#[test]
fn an_unreadable_file_says_why_and_what_to_do() {
    let directory = std::env::temp_dir().join(format!("evenkeel-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("bad.toml");
    let message = |path: &std::path::Path| {
        let text = load(path).unwrap_err().to_string();
        text.replace(directory.to_str().unwrap(), "DIR")
    };
    assert_eq!(
        message(&directory.join("none.toml")),
        "error: cannot read the configuration DIR/none.toml: there is no such file\n  \
         = help: give the path of a TOML file"
    );
    assert_eq!(
        message(&directory),
        "error: cannot read the configuration DIR: it is a directory\n  \
         = help: give the path of one TOML file inside it"
    );
    std::fs::write(&file, b"interfaces = []\n# caf\xe9\n").unwrap();
    assert_eq!(
        message(&file),
        "error: cannot read the configuration DIR/bad.toml: it is not UTF-8 text: byte 21, on \
         line 2, starts no valid character\n  = help: save it as UTF-8; TOML allows nothing else"
    );
    std::fs::File::create(&file)
        .unwrap()
        .set_len(MAX_FILE_BYTES + 1)
        .unwrap();
    assert_eq!(
        message(&file),
        "error: cannot read the configuration DIR/bad.toml: it is larger than 16 MiB\n  \
         = help: is it the right file? 10,000 services of 6 backends take about 3 MB"
    );
    std::fs::remove_dir_all(&directory).unwrap();
}
