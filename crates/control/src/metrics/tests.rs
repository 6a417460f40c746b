use super::*;
use crate::health::{BackendHealth, State};
use crate::status::{
    ApplyStatus, BackendStatus, ConfigurationStatus, FlowStatus, InterfaceStatus, MemoryStatus,
    ServiceStatus, TransitionStatus,
};

/// An instance of which every number is another one.
fn status() -> Status {
    let backend = |address: &str, state: &str, first: u64| BackendStatus {
        address: address.into(),
        state: state.into(),
        problem: (state == "unreachable").then(|| "no answer to ARP".into()),
        weight: 3,
        share: 0.25,
        packets: first,
        bytes: first + 1,
        reply_packets: first + 2,
        reply_bytes: first + 3,
        new_flows: first + 4,
        health: (state == "up").then(|| BackendHealth {
            state: State::Up,
            since_unix_ms: 1_600_000_000_750,
            passed: 25,
            failed: 26,
            ..BackendHealth::default()
        }),
        ..BackendStatus::default()
    };
    let service = ServiceStatus {
        service: "tcp://10.0.0.10:8000".into(),
        mode: "nat".into(),
        slots: 1024,
        slots_changing: 30,
        slots_settling: 10,
        backends: vec![
            backend("10.0.0.2:8000", "up", 100),
            backend("[fd00::3]:*", "unreachable", 200),
        ],
        ..ServiceStatus::default()
    };
    Status {
        instance: "test".into(),
        version: "1.2.3".into(),
        uptime_seconds: 77,
        interfaces: vec![InterfaceStatus {
            name: "eth0".into(),
            index: 2,
            mac: None,
            mode: "native".into(),
            native_refused: None,
        }],
        services: vec![service],
        configuration: ConfigurationStatus::default(),
        flows: FlowStatus {
            established: 1,
            established_limit: 2,
            half_open: 3,
            half_open_limit: 4,
        },
        transitions: TransitionStatus {
            slots_in_transition: 20,
            slots_settling: 10,
            exceptions: 5,
            exceptions_limit: 6,
            kept_by_previous: 7,
            flows_lost: 8,
            refusals: 9,
            backends_leaving: 11,
        },
        reasons: [
            ("new_flow", 12),
            ("no_backend", 13),
            ("not_ip", 14),
            ("of_tomorrow", 15),
        ]
        .map(|(reason, count)| (reason.into(), count))
        .into(),
        packets_by_cpu: vec![16, 17],
        applies: ApplyStatus {
            applied: 18,
            refused: 19,
            failed: 21,
            last_success_unix_seconds: Some(1_700_000_000.5),
            last_duration_seconds: Some(0.25),
        },
        netlink_overruns: 22,
        memory: MemoryStatus {
            process_bytes: 23,
            maps_bytes: 24,
        },
    }
}

fn text(format: Format) -> String {
    Exporter::new(true).render(status(), format)
}

#[test]
fn the_whole_text_is_as_expected() {
    let expected = include_str!("tests/metrics.txt");
    let found = text(Format::OpenMetrics);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/tests/metrics.txt");
        std::fs::write(path, &found).unwrap();
    }
    assert_eq!(found, expected);
}

/// Names of the samples, without labels.
fn sampled(text: &str) -> std::collections::BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .collect()
}

#[test]
fn both_formats_have_the_same_samples() {
    let plain = text(Format::Prometheus);
    assert_eq!(sampled(&plain), sampled(&text(Format::OpenMetrics)));
    assert!(plain.contains("# TYPE evenkeel_packets_total counter\n"));
    assert!(!plain.contains("EOF"));
}

#[test]
fn a_sample_is_there_once() {
    let text = text(Format::OpenMetrics);
    let mut seen = std::collections::HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').unwrap().0;
        assert!(seen.insert(series), "{series} is there twice");
    }
}

#[test]
fn without_backends_there_are_their_services() {
    let text = Exporter::new(false).render(status(), Format::OpenMetrics);
    let names = sampled(&text);
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("evenkeel_backend_"))
    );
    assert!(
        text.contains("evenkeel_service_packets_total{service=\"tcp://10.0.0.10:8000\"} 300\n")
    );
}

#[test]
fn services_begin_at_0_with_the_process_and_backends_go_on() {
    let mut exporter = Exporter::new(true);
    let mut status = status();
    exporter.begin(&status);
    let service = "service=\"tcp://10.0.0.10:8000\"";
    let assert_told = |text: &str, of_service: u64, of_backend: u64| {
        for sample in [
            format!("evenkeel_service_packets_total{{{service}}} {of_service}\n"),
            format!(
                "evenkeel_backend_packets_total{{{service},backend=\"10.0.0.2:8000\"}} {of_backend}\n"
            ),
        ] {
            assert!(text.contains(&sample), "{sample}: {text}");
        }
    };
    let first = exporter.render(status.clone(), Format::OpenMetrics);
    assert_told(&first, 0, 100);
    status.services[0].backends[0].packets += 7;
    let second = exporter.render(status, Format::OpenMetrics);
    assert_told(&second, 7, 107);
}

#[test]
fn an_instance_without_services_says_what_there_is() {
    let text = Exporter::new(true).render(Status::default(), Format::OpenMetrics);
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("\nevenkeel_netlink_overruns_total 0\n"));
    assert!(!text.contains("apply_last_success_timestamp_seconds 0"));
}

#[test]
fn the_page_of_metrics_names_each_with_its_type_and_labels() {
    let page = include_str!("../../../../docs/metrics.md");
    let text = text(Format::Prometheus);
    let mut documented = std::collections::BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `evenkeel_")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let name = cells.next().unwrap().trim_matches('`');
        let kind = cells.next().unwrap();
        let labels = cells.next().unwrap().replace(['`', ' '], "");
        assert!(
            documented.insert(name, (kind, labels)).is_none(),
            "{name} is there twice"
        );
    }
    let mut made = std::collections::BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            made.insert(name, (kind, String::new()));
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let keys = labels
                .split("\",")
                .filter_map(|label| Some(label.split_once('=')?.0));
            made.get_mut(name).unwrap().1 = keys.collect::<Vec<_>>().join(",");
        }
    }
    assert_eq!(documented, made);
}

/// The names of metrics in a text.
fn named(text: &str) -> std::collections::BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = text.split(|c| !is_part(c));
    names.filter(|name| name.starts_with("evenkeel_")).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_none_that_is_not_there() {
    let text = text(Format::Prometheus);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let made: std::collections::BTreeSet<_> = types
        .filter_map(|line| Some(line.split_once(' ')?.0))
        .collect();
    let dashboard = include_str!("../../../../deploy/grafana/evenkeel.json");
    let parsed: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    assert!(
        parsed["schemaVersion"].as_u64().unwrap() >= 38,
        "Grafana 10"
    );
    assert_eq!(named(dashboard), made);
    let alerts = include_str!("../../../../deploy/prometheus/alerts.yml");
    assert!(named(alerts).is_subset(&made), "{:?}", named(alerts));
}

#[test]
fn the_panels_of_the_dashboard_do_not_overlap() {
    let dashboard = include_str!("../../../../deploy/grafana/evenkeel.json");
    let parsed: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let mut taken = std::collections::HashSet::new();
    let mut ids = std::collections::HashSet::new();
    for panel in parsed["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()));
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        let cells = (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y)));
        for cell in cells {
            assert!(taken.insert(cell), "{panel}");
        }
    }
}

#[test]
fn a_state_that_nobody_has_heard_of_is_told_like_the_others() {
    let mut status = status();
    status.services[0].backends[0].state = "dreaming".into();
    let text = Exporter::new(true).render(status, Format::OpenMetrics);
    let service = "service=\"tcp://10.0.0.10:8000\"";
    for sample in [
        format!("evenkeel_service_backends{{{service},state=\"up\"}} 0\n"),
        format!("evenkeel_service_backends{{{service},state=\"dreaming\"}} 1\n"),
        format!(
            "evenkeel_backend_state{{{service},backend=\"10.0.0.2:8000\",state=\"dreaming\"}} 1\n"
        ),
    ] {
        assert!(text.contains(&sample), "{sample}: {text}");
    }
}
