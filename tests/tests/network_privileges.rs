//! The privileges that deploy/systemd/evenkeel.service gives: they are enough, and none is too many.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use control::instance::{SOCKET_DIRECTORY, socket_path};
use evenkeel_tests::support::{
    Finished, PATIENCE, Scene, ServiceUser, USER, Unit, dropped, finish, requests,
};
use lab::HostProcess;
use lab::topology::TUTORIAL;

/// A lab, the user, and the arguments that start an instance.
fn scene(name: &str) -> (Scene, ServiceUser, String) {
    let scene = Scene::new(&TUTORIAL, name);
    let name = scene.balancer_host().namespace().to_owned();
    let user = ServiceUser::new(Unit::read("evenkeel.service"), scene.folder(), &name);
    let config = scene.write_config("\"10.0.0.2\"");
    let run = format!("run --keep --config {}", config.display());
    (scene, user, run)
}

fn start(scene: &Scene, user: &ServiceUser, run: &str) -> HostProcess {
    let command = user.command(&scene.balancer_host(), &user.capabilities(), run);
    let process = HostProcess::spawn("lb", command);
    let mut process = process.unwrap_or_else(|error| panic!("{error}"));
    if let Err(error) = process.wait_ready(PATIENCE) {
        panic!("{error}");
    }
    process
}

/// A command of the user's, to its end.
fn command(scene: &Scene, user: &ServiceUser, capabilities: &[&str], arguments: &str) -> Finished {
    finish(&user.command(&scene.balancer_host(), capabilities, arguments))
}

fn servers(scene: &Scene) -> Vec<String> {
    let by_server = requests(&scene.client(), scene.vip().into(), 20);
    by_server.into_keys().collect()
}

/// What the kernel lets the process do.
fn assert_unprivileged(process: &HostProcess, capabilities: usize) {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let words = line.unwrap().split_whitespace();
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), [USER.to_string().as_str(); 4]);
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        let bits = u64::from_str_radix(&field(set)[0], 16).unwrap();
        assert_eq!(bits.count_ones() as usize, capabilities, "{set} {bits:x}");
    }
}

#[test]
fn with_what_the_unit_gives_it_runs_reloads_dies_goes_on_and_stops() {
    let (scene, user, run) = scene("privileges");
    let given = user.capabilities();
    let mut process = start(&scene, &user, &run);
    assert_unprivileged(&process, given.len());
    assert_eq!(servers(&scene), ["h2"]);

    // More room than there is: maps are made anew, the program is exchanged.
    let path = scene.write_config("\"10.0.0.2\", \"10.0.0.3\"");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "[limits]\nflows = 300000\n").unwrap();
    let reload = command(&scene, &user, &[], "reload");
    assert_eq!(reload.code, Some(0), "{}", reload.stderr);
    assert_eq!(servers(&scene), ["h2", "h3"]);

    process.kill().unwrap();
    assert_eq!(servers(&scene), ["h2", "h3"], "packets are balanced on");
    let process = start(&scene, &user, &run);
    assert_unprivileged(&process, given.len());
    let output = process.output();
    assert!(output.contains("goes on with what was running"), "{output}");
    assert_eq!(servers(&scene), ["h2", "h3"]);
    // Root may ask it, too.
    assert_eq!(dropped(&scene.status()), []);

    let stop = command(&scene, &user, &[], "stop");
    assert_eq!(stop.code, Some(0), "{}", stop.stderr);
    assert!(scene.programs().is_empty());
    let left = fs::read_dir("/sys/fs/bpf/evenkeel").unwrap();
    let name = scene.balancer_host().namespace().to_owned();
    assert!(left.flatten().all(|entry| *entry.file_name() != *name));
}

#[test]
fn without_any_one_of_them_it_does_not_start_and_says_which_it_lacks() {
    let (scene, user, run) = scene("unprivileged");
    let given = user.capabilities();
    assert_eq!(given, user_bound(), "what is given is all there can be");
    for lacking in &given {
        let others: Vec<_> = given.iter().copied().filter(|it| it != lacking).collect();
        let refused = command(&scene, &user, &others, &run);
        assert_eq!(refused.code, Some(1), "without {lacking}");
        let missing = format!("(missing: {lacking})");
        assert!(refused.stderr.contains(&missing), "{}", refused.stderr);
        let lines = refused.stderr.lines().count();
        assert!(lines < 5, "no verifier's log: {}", refused.stderr);
        assert!(scene.programs().is_empty());
    }
    let none = command(&scene, &user, &[], &run);
    assert!(none.stderr.contains(&given.join(", ")), "{}", none.stderr);
}

fn user_bound() -> Vec<String> {
    let unit = Unit::read("evenkeel.service");
    let words = unit.words("CapabilityBoundingSet");
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn without_the_units_preparations_it_does_not_start_and_says_where_it_may_not_write() {
    let (scene, user, run) = scene("unprepared");
    let folder = Path::new("/sys/fs/bpf/evenkeel");
    std::os::unix::fs::chown(folder, Some(0), Some(0)).unwrap();
    let refused = command(&scene, &user, &user.capabilities(), &run);
    assert_eq!(refused.code, Some(1));
    let expected = "whom /sys/fs/bpf/evenkeel belongs to";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    assert!(scene.programs().is_empty());
}

/// Lets a group use the socket.
fn share(scene: &Scene, group: u32) {
    let path = scene.folder().path().join("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}[api]\ngroup = \"{group}\"\n")).unwrap();
}

#[test]
fn a_group_that_the_user_is_in_gets_the_socket_and_nothing_else() {
    let (scene, user, run) = scene("group");
    share(&scene, USER);
    let _process = start(&scene, &user, &run);
    // Kept for the next process.
    let drain = "backend drain tcp://10.0.0.10:8000 10.0.0.2";
    let drained = command(&scene, &user, &[], drain);
    assert_eq!(drained.code, Some(0), "{}", drained.stderr);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(Path::new(SOCKET_DIRECTORY)), 0o711);
    let socket = socket_path(scene.balancer_host().namespace());
    for (extension, expected) in [("sock", 0o660), ("lock", 0o600), ("state", 0o600)] {
        let path = socket.with_extension(extension);
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

#[test]
fn a_group_that_the_user_is_not_in_is_refused_and_it_says_what_to_do() {
    let (scene, user, run) = scene("nogroup");
    share(&scene, USER + 1);
    let refused = command(&scene, &user, &user.capabilities(), &run);
    assert_eq!(refused.code, Some(1));
    let expected = format!("SupplementaryGroups={}", USER + 1);
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    assert!(scene.programs().is_empty());
    assert!(!scene.has_socket());
}
