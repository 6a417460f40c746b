//! Configurations planned, applied and changed by hand while packets flow.

#![forbid(unsafe_code)]

use std::net::SocketAddrV4;

use control::api::model::Flow;
use control::event::{Event, What};
use control::plan::PlanReport;
use control::status::ServiceStatus;
use evenkeel_tests::support::{
    Connection, Finished, PATIENCE, Scene, evenkeel, eventually, fresh_requests, requests,
};
use lab::topology::TUTORIAL;

const SERVICE: &str = "tcp://10.0.0.10:8000";

fn config(backends: &str, rest: &str) -> String {
    format!(
        "interfaces = [\"veth6\"]\n[[service]]\naddress = \"{SERVICE}\"\nbackends = [{backends}]\n\
         {rest}"
    )
}

const BOTH: &str = "\"10.0.0.2\", \"10.0.0.3\"";

fn started(test: &str, rest: &str) -> Scene {
    let mut scene = Scene::new(&TUTORIAL, test);
    scene.run_config(&config(BOTH, rest), "auto");
    scene
}

/// Runs a command, which has to succeed, and returns what it printed.
fn done(scene: &Scene, arguments: &str) -> String {
    let Finished {
        code,
        stdout,
        stderr,
    } = scene.command(arguments);
    assert_eq!(code, Some(0), "{arguments}: {stdout}{stderr}");
    stdout
}

/// Who answers twenty requests.
fn servers(scene: &Scene) -> Vec<String> {
    let by_server = fresh_requests(&scene.client(), scene.vip().into(), 20);
    by_server.into_keys().collect()
}

/// A connection from this port, and who has it.
fn held(scene: &Scene, port: u16) -> (Connection, String) {
    held_by(scene, "client", port)
}

fn held_by(scene: &Scene, client: &str, port: u16) -> (Connection, String) {
    let (vip, host) = (scene.vip(), scene.host(client));
    let client = SocketAddrV4::new(scene.address(client), port);
    let open = host.inside(|| Connection::open(client, vip));
    let mut connection = open.expect("a namespace").expect("a connection");
    let server = connection.ask().expect("an answer").server;
    (connection, server)
}

fn events(scene: &Scene) -> Vec<Event> {
    let lines = done(scene, "events --json");
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn what_would_break_flows_is_told_and_not_applied_unless_that_is_allowed() {
    let scene = started("plan", "");
    let (mut connection, server) = held(&scene, 40_000);
    let host = if server == "h2" { 2 } else { 3 };
    let dead = format!("{{ address = \"10.0.0.{host}\", state = \"down\" }}");
    let other = format!("\"10.0.0.{}\"", 5 - host);
    let text = config(&format!("{dead}, {other}"), "");
    let file = scene.folder().write("other.toml", &text);
    let file = file.display();

    assert!(done(&scene, "plan").contains("nothing would change"));
    let planned = scene.command(&format!("plan {file} --json"));
    assert_eq!(planned.code, Some(2), "{}", planned.stderr);
    let plan: PlanReport = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!((plan.breaks, plan.backends_died), (1, 1));

    let refused = scene.command(&format!("apply {file}"));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stdout.contains("dies"), "{}", refused.stdout);
    assert!(refused.stderr.contains("nothing was changed"));
    assert_eq!(connection.ask().unwrap().server, server);
    assert_eq!(servers(&scene), ["h2", "h3"]);
    assert_eq!(scene.status().configuration.differs, [""; 0]);

    let applied = done(&scene, &format!("apply {file} --allow-disruption"));
    assert!(applied.contains("1 died"), "{applied}");
    assert_eq!(servers(&scene).len(), 1);
    let configuration = scene.status().configuration;
    assert!(configuration.source.ends_with("other.toml"));
    assert!(configuration.differs[0].contains("other.toml is in force, not"));
    done(&scene, "reload");
    assert_eq!(servers(&scene), ["h2", "h3"]);
}

#[test]
fn an_interface_is_not_let_go_without_leave() {
    let scene = Scene::in_mode("nat", "interface");
    let (mut connection, server) = held_by(&scene, "c1", 40_000);
    let text = std::fs::read_to_string(scene.folder().path().join("config.toml")).unwrap();
    let fewer = text.replace("[\"eth0\", \"eth1\"]", "[\"eth1\"]");
    assert_ne!(fewer, text);
    let file = scene.folder().write("fewer.toml", fewer);
    let file = file.display();
    for command in ["plan", "apply"] {
        let refused = scene.command(&format!("{command} {file}"));
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        let said = "packets of eth0 are not balanced any more";
        assert!(refused.stdout.contains(said), "{}", refused.stdout);
    }
    assert_eq!(connection.ask().unwrap().server, server);
    done(&scene, &format!("apply {file} --allow-disruption"));
    assert_eq!(scene.programs().len(), 1);
}

#[test]
fn what_the_process_does_is_planned_and_what_apply_would_refuse_is_refused() {
    let scene = started("process", "");
    let plain = config(BOTH, "");
    let write = |name: &str, text: String| scene.folder().write(name, text).display().to_string();
    let nowhere = write("nowhere.toml", plain.replace("veth6", "nope0"));
    for command in ["plan", "apply"] {
        let refused = scene.command(&format!("{command} {nowhere}"));
        assert_eq!(refused.code, Some(1), "{command}: {}", refused.stdout);
        assert!(refused.stderr.contains("nope0"), "{}", refused.stderr);
    }
    let metrics = "[metrics]\nlisten = \"127.0.0.1:9464\"\n";
    let served = write("served.toml", plain.clone() + metrics);
    let checked = plain.replace("backends =", "health = \"tcp\"\nbackends =");
    let checked = write("checked.toml", checked);
    let told = done(&scene, &format!("plan {served}"));
    assert!(
        told.contains("~ [metrics] listen: none -> 127.0.0.1:9464"),
        "{told}"
    );
    let told = done(&scene, &format!("plan {checked}"));
    let expected = format!("~ health of {SERVICE}: not checked -> tcp");
    assert!(told.contains(&expected), "{told}");
    // What the process serves counts, not what was applied last.
    let warned = |file: &str| scene.command(&format!("apply {file}")).stderr;
    for _ in 0..2 {
        assert!(warned(&served).contains("[metrics]: they are served as before"));
    }
    let plain = write("plain.toml", plain);
    assert!(!warned(&plain).contains("[metrics]"));
}

#[test]
fn what_needs_more_room_is_planned_and_applied_without_leave() {
    let scene = started("room", "");
    let (mut connection, server) = held(&scene, 40_000);
    // The maps of two backends have room for 256.
    let second: Vec<_> = (1..=300)
        .map(|port| format!("\"10.0.0.2:{port}\""))
        .collect();
    let second = format!(
        "[[service]]\naddress = \"tcp://10.0.0.10:8001\"\nbackends = [\"10.0.0.3:8000\", {}]\n",
        second.join(", ")
    );
    let file = scene.folder().write("many.toml", config(BOTH, &second));
    let file = file.display();
    assert!(done(&scene, &format!("plan {file}")).contains("backends: 301 added"));

    // Nothing is exchanged for what is refused.
    let exchanged = |event: &Event| matches!(event.what, What::ProgramExchanged { .. });
    let count = || events(&scene).into_iter().filter(exchanged).count();
    let host = if server == "h2" { 2 } else { 3 };
    let dead = format!("{{ address = \"10.0.0.{host}\", state = \"down\" }}");
    let text = config(&format!("{dead}, \"10.0.0.{}\"", 5 - host), &second);
    let bad = scene.folder().write("bad.toml", text);
    let refused = scene.command(&format!("apply {}", bad.display()));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert_eq!(count(), 0);
    assert_eq!(scene.status().configuration.differs, [""; 0]);

    done(&scene, &format!("apply {file}"));
    assert_eq!(count(), 1);
    assert_eq!(scene.status().services[1].backends.len(), 301);
    assert_eq!(connection.ask().unwrap().server, server);
    assert_eq!(servers(&scene), ["h2", "h3"]);
}

#[test]
fn a_bad_file_changes_nothing_and_says_where_it_is_bad() {
    let scene = started("apply", "");
    let bad = scene
        .folder()
        .write("bad.toml", config("\"10.0.0.3:port\"", ""));
    for command in ["plan", "apply"] {
        let refused = scene.command(&format!("{command} {}", bad.display()));
        assert_eq!(refused.code, Some(1), "{command}: {}", refused.stdout);
        let expected =
            "4 | backends = [\"10.0.0.3:port\"]\n  |                       ^^^^ expected a port";
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    assert_eq!(servers(&scene), ["h2", "h3"]);
}

#[test]
fn a_watched_file_is_applied_when_it_changes_and_a_bad_one_is_told() {
    let mut scene = Scene::new(&TUTORIAL, "watch");
    scene.run_config(&config(BOTH, "[daemon]\nwatch = true\n"), "auto");
    let rewrite = |text: &str| {
        let _same_path = scene.folder().write("config.toml", text);
    };
    rewrite("interfaces = [\"veth6\"]\n[[service]]\naddress = 7\n");
    let problem = eventually("an event about the bad file", PATIENCE, || {
        events(&scene)
            .into_iter()
            .find_map(|event| match event.what {
                What::Refused { problem } => Some(problem),
                _ => None,
            })
    });
    assert!(problem.contains("`address` is an integer"), "{problem}");
    assert_eq!(servers(&scene), ["h2", "h3"]);
    rewrite(&config("\"10.0.0.3\"", "[daemon]\nwatch = true\n"));
    eventually("the good file in force", PATIENCE, || {
        (servers(&scene) == ["h3"]).then_some(())
    });
}

#[test]
fn what_is_changed_by_hand_outlives_the_process_and_not_the_instance() {
    let mut scene = started("byhand", "");
    done(&scene, &format!("backend drain {SERVICE} 10.0.0.2"));
    done(&scene, &format!("backend weight {SERVICE} 10.0.0.3 5"));
    done(
        &scene,
        "service add tcp://10.0.0.10:8001 --backend 10.0.0.3:8000",
    );
    let expected = |scene: &Scene| {
        let configuration = scene.status().configuration;
        assert_eq!(configuration.overrides, 3, "{configuration:?}");
        assert_eq!(
            configuration.differs,
            [
                "by hand: backend 10.0.0.2:8000 of tcp://10.0.0.10:8000: state drain",
                "by hand: backend 10.0.0.3:8000 of tcp://10.0.0.10:8000: weight 5",
                "by hand: service tcp://10.0.0.10:8001 added"
            ]
        );
        assert_eq!(servers(scene), ["h3"]);
        let second = (*scene.vip().ip(), 8001).into();
        assert_eq!(requests(&scene.client(), second, 5).len(), 1);
    };
    expected(&scene);
    scene.balancer().kill().unwrap();
    scene.run_config(&config(BOTH, ""), "auto");
    expected(&scene);
    assert!(done(&scene, "events").contains("goes on with what was running"));

    let fewer = config("\"10.0.0.3\"", "");
    let _same_path = scene.folder().write("config.toml", fewer);
    let reloaded = scene.command("reload");
    assert_eq!(reloaded.code, Some(0), "{}", reloaded.stderr);
    assert!(
        reloaded
            .stderr
            .contains("dropped what was changed by hand: backend 10.0.0.2:8000"),
        "{}",
        reloaded.stderr
    );
    assert_eq!(scene.status().configuration.overrides, 2);
    done(&scene, "reload --discard-overrides");
    assert_eq!(scene.status().configuration.differs, [""; 0]);
    done(&scene, &format!("backend add {SERVICE} 10.0.0.2"));
    done(&scene, "stop");
    scene.run_config(&config("\"10.0.0.3\"", ""), "auto");
    assert_eq!(scene.status().configuration.overrides, 0);
    assert_eq!(servers(&scene), ["h3"]);
}

#[test]
fn what_is_removed_by_hand_is_gone_from_lists_and_packets_until_that_is_discarded() {
    let scene = started("removed", "");
    let second = "tcp://10.0.0.10:8001";
    let differs = || scene.status().configuration.differs;
    let listed = |arguments: &str| -> Vec<String> {
        let text = done(&scene, arguments);
        let rows = text.lines().skip(1);
        let first = rows.filter_map(|row| row.split_whitespace().next());
        first.map(str::to_owned).collect()
    };
    done(
        &scene,
        &format!("service add {second} --backend 10.0.0.3:8000"),
    );
    assert_eq!(listed("service list"), [SERVICE, second]);
    let services: Vec<ServiceStatus> = done(&scene, "service list --json")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(services[1].backends[0].address, "10.0.0.3:8000");
    done(&scene, &format!("service remove {second}"));
    assert_eq!(listed("service list"), [SERVICE]);
    assert_eq!(differs(), [""; 0], "it was not the file's");

    let backends = format!("backend list {SERVICE}");
    assert_eq!(listed(&backends), ["10.0.0.2:8000", "10.0.0.3:8000"]);
    let (mut connection, server) = held(&scene, 40_002);
    let host = if server == "h2" { 2 } else { 3 };
    let (gone, stays) = (
        format!("10.0.0.{host}:8000"),
        format!("10.0.0.{}:8000", 5 - host),
    );
    done(&scene, &format!("backend remove {SERVICE} {gone}"));
    let states = || -> Vec<(String, String)> {
        let of = &scene.status().services[0].backends;
        of.iter()
            .map(|it| (it.address.clone(), it.state.clone()))
            .collect()
    };
    let leaving = |(name, state): &(String, String)| *name == gone && state == "leaving";
    assert!(
        states().iter().any(leaving),
        "it has a flow: {:?}",
        states()
    );
    assert!(states().contains(&(stays, "up".into())), "{:?}", states());
    assert_eq!(states().len(), 2);
    let removed = format!("by hand: backend {gone} of {SERVICE} removed");
    assert_eq!(differs(), [&*removed]);
    assert!(done(&scene, "status").contains(&removed));
    assert!(!servers(&scene).contains(&server));
    assert_eq!(connection.ask().unwrap().server, server, "it keeps its own");
    assert!(done(&scene, "backend list").starts_with(&format!("{SERVICE}\nbackend")));

    done(&scene, &format!("service remove {SERVICE}"));
    assert_eq!(listed("service list"), [""; 0]);
    assert_eq!(scene.status().services, []);
    assert!(connection.ask().is_err(), "its service is gone");
    let missing = scene.command(&backends);
    assert_eq!(missing.code, Some(1), "{}", missing.stdout);
    assert!(missing.stderr.contains("no service"), "{}", missing.stderr);
    assert!(differs().contains(&format!("by hand: service {SERVICE} removed")));
    done(&scene, "reload --discard-overrides");
    assert_eq!(differs(), [""; 0]);
    assert_eq!(servers(&scene), ["h2", "h3"]);
}

#[test]
fn a_drain_is_over_when_the_last_connection_is() {
    let scene = started("drain", "[timeouts]\nrest = \"1s\"\n");
    let (mut connection, server) = held(&scene, 40_001);
    let backend = if server == "h2" {
        "10.0.0.2"
    } else {
        "10.0.0.3"
    };
    let drain = format!("backend drain {SERVICE} {backend} --wait --timeout");
    let early = scene.command(&format!("{drain} 0"));
    assert_eq!(early.code, Some(1), "{}", early.stdout);
    assert!(early.stderr.contains("flows left: 1"), "{}", early.stderr);
    assert_eq!(connection.ask().unwrap().server, server);
    assert!(!servers(&scene).contains(&server));
    drop(connection);
    let late = done(&scene, &format!("{drain} 60"));
    assert!(late.contains("drained"), "{late}");
    let name = format!("{backend}:8000");
    let drained =
        |event: &Event| matches!(&event.what, What::Drained { backend, .. } if *backend == name);
    assert_eq!(events(&scene).iter().filter(|it| drained(it)).count(), 1);
    done(&scene, &format!("backend undrain {SERVICE} {backend}"));
    assert_eq!(servers(&scene), ["h2", "h3"]);
    assert_eq!(scene.status().configuration.overrides, 0);
}

#[test]
fn flows_are_listed_in_pages_filtered_and_forgotten() {
    let scene = started("flows", "");
    let held: Vec<_> = (0..6).map(|index| held(&scene, 41_000 + index)).collect();
    let flows = |filter: &str| -> Vec<Flow> {
        let lines = done(&scene, &format!("flows --json {filter}"));
        let lines = lines.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let all = flows("");
    assert_eq!(all.len(), held.len(), "{all:?}");
    assert!(all.iter().all(|it| it.service.as_deref() == Some(SERVICE)));
    let of = |name: &str| held.iter().filter(|(_, server)| server == name).count();
    assert_eq!(flows("--backend 10.0.0.2").len(), of("h2"));
    assert_eq!(
        flows("--client 10.0.0.0/24 --backend 10.0.0.3:8000").len(),
        of("h3")
    );
    assert_eq!(flows("--client 10.9.0.0/16"), []);
    let missing = scene.command("flows --service tcp://10.0.0.11:80");
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("no service"), "{}", missing.stderr);

    assert_eq!(scene.command("flush").code, Some(2), "it asks for a filter");
    let flushed = done(&scene, "flush --backend 10.0.0.2");
    let expected = format!("forgotten: {} flows of mode nat", of("h2"));
    assert!(flushed.starts_with(&expected), "{flushed}");
    assert_eq!(flows("").len(), of("h3"));
    for (mut connection, server) in held {
        if server == "h3" {
            assert_eq!(connection.ask().unwrap().server, server);
        }
    }
}

#[test]
fn events_are_followed_to_the_instances_end() {
    let scene = started("follow", "");
    let host = scene.balancer_host();
    let mut follower = host
        .spawn(evenkeel(), &["events", "--follow", "--json"])
        .unwrap();
    eventually("the first event", PATIENCE, || {
        follower.output().contains("\"started\"").then_some(())
    });
    done(&scene, &format!("backend drain {SERVICE} 10.0.0.2"));
    eventually("what was changed by hand", PATIENCE, || {
        follower.output().contains("\"override\"").then_some(())
    });
    done(&scene, "stop");
    let ended = follower.wait(PATIENCE).unwrap().expect("an end");
    let output = follower.output();
    assert!(ended.success(), "{ended}: {output}");
    assert!(output.contains("\"stopping\""), "{output}");
}
