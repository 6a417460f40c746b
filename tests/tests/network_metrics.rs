//! Metrics, as `promtool` and a real Prometheus see them.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use control::status::Status;
use evenkeel_tests::support::{Finished, PATIENCE, Scene, eventually, ip, page, requests};
use lab::topology::TUTORIAL;
use serde_json::Value;

const METRICS: &str = "127.0.0.1:9464";
const PROMETHEUS: &str = "127.0.0.1:9090";
const CONFIG: &str = "interfaces = [\"veth6\"]\n[metrics]\nlisten = \"127.0.0.1:9464\"\n\
     [[service]]\naddress = \"tcp://10.0.0.10:8000\"\nbackends = [\"10.0.0.2\", \"10.0.0.3\"]\n";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// What is shipped beside the program.
fn deployed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(file)
}

/// A balancer with metrics that has balanced some requests.
fn scene(test: &str) -> Scene {
    let mut scene = Scene::new(&TUTORIAL, test);
    let _ = ip(&scene.balancer_host(), "link set dev lo up");
    scene.run_config(CONFIG, "auto");
    requests(&scene.client(), scene.vip().into(), 30);
    scene
}

fn promtool(arguments: &[&str], input: Stdio) -> Finished {
    let output = Command::new("promtool")
        .args(arguments)
        .stdin(input)
        .output()
        .unwrap_or_else(|error| panic!("promtool: {error}; expected it from `./dev setup`"));
    Finished::from(output)
}

/// Ends well and has nothing to say.
fn assert_praised(finished: &Finished) {
    assert_eq!(
        (finished.code, &*finished.stderr),
        (Some(0), ""),
        "{finished:?}"
    );
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_of_a_running_instance() {
    let scene = scene("promtool");
    let host = scene.balancer_host();
    let text = page(&host, address(METRICS), "/metrics").expect("metrics");
    let file = scene.folder().write("metrics.txt", &text);
    let input = File::open(file).expect("it has been written");
    let checked = promtool(&["check", "metrics"], input.into());
    assert_praised(&checked);
    assert_eq!(checked.stdout, "");
    assert_eq!(
        page(&host, address(METRICS), "/healthz").as_deref(),
        Some("ok\n")
    );
}

#[test]
fn a_listener_of_metrics_stays_where_it_is_until_a_restart() {
    let mut scene = scene("metricsfixed");
    let moved = CONFIG.replace("9464", "9465");
    let _same_path = scene.folder().write("config.toml", moved);
    let Finished { code, stderr, .. } = scene.command("reload");
    assert_eq!(code, Some(0));
    let expected = "[metrics]: they are served as before until the process starts again";
    assert!(stderr.contains(expected), "{stderr}");
    assert!(page(&scene.balancer_host(), address(METRICS), "/healthz").is_some());
    // Somebody else's port is an error with nothing left behind.
    scene.balancer().stop().expect("it ends");
    let taken = scene.balancer_host().inside(|| TcpListener::bind(METRICS));
    let _taken = taken.expect("the host is there").expect("a free port");
    let path = scene.folder().path().join("config.toml");
    let _same_path = scene.folder().write("config.toml", CONFIG);
    let Finished { code, stderr, .. } = scene.command(&format!("run --config {}", path.display()));
    assert_eq!(code, Some(1));
    let expected = "error: cannot serve metrics at 127.0.0.1:9464: Address already in use";
    assert!(stderr.starts_with(expected), "{stderr}");
    assert!(scene.programs().is_empty() && !scene.has_socket());
}

/// Packets to all backends that a scrape tells: of their service, and of themselves.
fn packets_told(scene: &Scene) -> (u64, u64) {
    let text = page(&scene.balancer_host(), address(METRICS), "/metrics").expect("metrics");
    let sum = |name: &str| {
        let samples = text.lines().filter(|line| line.starts_with(name));
        let values = samples.map(|line| line.rsplit(' ').next().expect("a value"));
        values
            .map(|value| value.parse::<u64>().expect("a number"))
            .sum()
    };
    (
        sum("evenkeel_service_packets_total{"),
        sum("evenkeel_backend_packets_total{"),
    )
}

#[test]
fn after_a_crash_services_begin_at_0_and_backends_go_on() {
    let mut scene = scene("metricscrash");
    let (of_service, of_backends) = packets_told(&scene);
    assert!(of_service > 0);
    assert_eq!(of_service, of_backends);
    scene.balancer().kill().expect("it ends");
    scene.run_config(CONFIG, "auto");
    let (anew, on) = packets_told(&scene);
    assert!(anew < of_service && on >= of_backends, "{anew}, {on}");
    requests(&scene.client(), scene.vip().into(), 30);
    // A scrape within a second of another one has the same answer.
    let (more_anew, more_on) = eventually("another scrape", PATIENCE, || {
        Some(packets_told(&scene)).filter(|(more_anew, _)| *more_anew > anew)
    });
    assert_eq!(more_anew - anew, more_on - on);
}

#[test]
fn promtool_finds_nothing_wrong_with_the_alerts_and_they_fire_for_what_they_are_about() {
    let path = |file: &str| deployed(file).display().to_string();
    let rules = path("prometheus/alerts.yml");
    assert_praised(&promtool(&["check", "rules", &rules], Stdio::null()));
    let tests = path("prometheus/alerts.test.yml");
    assert_praised(&promtool(&["test", "rules", &tests], Stdio::null()));
}

/// Prometheus' answer to a query: each series' labels and value.
fn query(scene: &Scene, query: &str) -> Vec<(BTreeMap<String, String>, f64)> {
    let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let path = format!("/api/v1/query?query={escaped}");
    let answer = page(&scene.balancer_host(), address(PROMETHEUS), &path).expect("an answer");
    let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    let Value::Array(series) = answer["data"]["result"].take() else {
        panic!("{query}: {answer}");
    };
    let series = series.into_iter().map(|mut series| {
        let labels = serde_json::from_value(series["metric"].take()).expect("labels");
        let value = series["value"][1]
            .as_str()
            .and_then(|value| value.parse().ok());
        (labels, value.expect("a number"))
    });
    series.collect()
}

/// The one value of a query.
fn value(scene: &Scene, text: &str) -> Option<f64> {
    match query(scene, text)[..] {
        [(_, value)] => Some(value),
        _ => None,
    }
}

/// Starts Prometheus beside the balancer; it goes with the guard.
fn prometheus(scene: &Scene) -> lab::HostProcess {
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nrule_files: [{:?}]\nscrape_configs:\n  \
         - {{ job_name: evenkeel, static_configs: [{{ targets: [{METRICS:?}] }}] }}\n",
        deployed("prometheus/alerts.yml")
    );
    let config = scene.folder().write("prometheus.yml", config);
    let arguments = [
        format!("--config.file={}", config.display()),
        format!(
            "--storage.tsdb.path={}",
            scene.folder().path().join("data").display()
        ),
        format!("--web.listen-address={PROMETHEUS}"),
        "--log.level=warn".to_owned(),
    ];
    let host = scene.balancer_host();
    let process = host.spawn("prometheus", &arguments);
    let process = process.unwrap_or_else(|error| panic!("{error}; see `./dev setup`"));
    eventually("Prometheus", PATIENCE, || {
        page(&host, address(PROMETHEUS), "/-/ready")
    });
    process
}

/// What Prometheus has to know, as queries and values.
fn expected(status: &Status) -> Vec<(String, f64)> {
    let mut expected = vec![
        (
            "evenkeel_flow_table_entries{table=\"established\"}".to_owned(),
            status.flows.established as f64,
        ),
        (
            "sum(evenkeel_cpu_packets_total)".to_owned(),
            status.packets_by_cpu.iter().sum::<u64>() as f64,
        ),
    ];
    for (reason, count) in &status.reasons {
        let query = format!("evenkeel_packets_total{{reason={reason:?}}}");
        expected.push((query, *count as f64));
    }
    for service in &status.services {
        let of = &service.service;
        let packets: u64 = service.backends.iter().map(|backend| backend.packets).sum();
        expected.push((
            format!("evenkeel_service_packets_total{{service={of:?}}}"),
            packets as f64,
        ));
        for backend in &service.backends {
            let labels = format!("{{service={of:?}, backend={:?}}}", backend.address);
            for (name, value) in [
                ("packets_total", backend.packets as f64),
                ("bytes_total", backend.bytes as f64),
                ("reply_packets_total", backend.reply_packets as f64),
                ("reply_bytes_total", backend.reply_bytes as f64),
                ("new_flows_total", backend.new_flows as f64),
                ("weight", f64::from(backend.weight)),
                ("share_ratio", backend.share),
            ] {
                expected.push((format!("evenkeel_backend_{name}{labels}"), value));
            }
        }
    }
    expected
}

#[test]
fn prometheus_knows_what_the_status_says_and_the_dashboard_asks_what_it_understands() {
    let scene = scene("prometheus");
    let _prometheus = prometheus(&scene);
    eventually("a scrape", PATIENCE, || {
        value(&scene, "up{job=\"evenkeel\"}").filter(|up| *up == 1.0)
    });
    requests(&scene.client(), scene.vip().into(), 20);
    // Neighbours speak at times, so both are asked until they agree.
    eventually("the status' values in Prometheus", PATIENCE, || {
        let differing = expected(&scene.status()).into_iter();
        let mut differing = differing.filter(|(query, expected)| {
            value(&scene, query).is_none_or(|found| (found - expected).abs() > 1e-9)
        });
        differing.next().is_none().then_some(())
    });
    let established = "evenkeel_flow_table_entries{table=\"established\"}";
    assert_eq!(value(&scene, established), Some(50.0));
    let states = query(&scene, "evenkeel_backend_state{state=\"up\"} == 1");
    assert_eq!(states.len(), 2, "{states:?}");
    ask_as_the_dashboard_does(&scene);
    let rules = page(&scene.balancer_host(), address(PROMETHEUS), "/api/v1/rules");
    assert!(rules.is_some_and(|rules| rules.contains("EvenkeelNoBackendUp")));
}

/// Every query of the dashboard is understood, and those about what there is have an answer.
fn ask_as_the_dashboard_does(scene: &Scene) {
    let text = std::fs::read_to_string(deployed("grafana/evenkeel.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let mut silent: Vec<String> = Vec::new();
    for target in targets.flatten() {
        let expression = target["expr"].as_str().expect("a query");
        let filled = expression
            .replace("$__rate_interval", "1m")
            .replace("$instance", ".*")
            .replace("$service", ".*");
        assert!(!filled.contains('$'), "{filled}");
        // Those show what is out of the ordinary, these what checks find, and nothing is checked.
        let may_be_silent = expression.ends_with(" > 0") || expression.contains("_backend_health_");
        if !may_be_silent && query(scene, &filled).is_empty() {
            silent.push(expression.to_owned());
        }
    }
    assert_eq!(silent, [""; 0]);
}
