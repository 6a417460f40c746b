//! The API of a running instance: what it says of itself holds, and nobody can hold it up.

#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use control::instance::socket_path;
use evenkeel_tests::support::{
    Finished, PATIENCE, Scene, USER, evenkeel, finish, fresh_requests, requests,
};
use lab::topology::TUTORIAL;

/// A number needs no entry in the host's list of groups.
const GROUP: u32 = 54_321;
const CONFIG: &str = "interfaces = [\"veth6\"]\n[[service]]\naddress = \"tcp://10.0.0.10:8000\"\n\
                      backends = [\"10.0.0.2\", \"10.0.0.3\"]\n";

fn started(test: &str, rest: &str) -> (Scene, PathBuf) {
    let mut scene = Scene::new(&TUTORIAL, test);
    scene.run_config(&format!("{CONFIG}{rest}"), "auto");
    let socket = socket_path(scene.balancer_host().namespace());
    (scene, socket)
}

/// Status and body of an answer.
fn ask(socket: &Path, request: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("a reader");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}

fn get(socket: &Path, uri: &str) -> (u16, String) {
    ask(socket, &format!("GET {uri} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn request(socket: &Path, method: &str, uri: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let text = format!(
        "{method} {uri} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    ask(socket, &text)
}

/// Takes connections to a port of this host to the socket, as long as the test program runs.
fn proxy(socket: &Path) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let socket = socket.to_owned();
    thread::spawn(move || {
        for outside in listener.incoming().map_while(Result::ok) {
            let Ok(inside) = UnixStream::connect(&socket) else {
                return;
            };
            let (Ok(out), Ok(mut back)) = (outside.try_clone(), inside.try_clone()) else {
                return;
            };
            thread::spawn(move || {
                let (mut from, mut to) = (outside, inside);
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let mut out: TcpStream = out;
                let _ = std::io::copy(&mut back, &mut out);
                let _ = out.shutdown(Shutdown::Write);
            });
        }
    });
    port
}

/// Where `./dev setup` installs schemathesis: beside the folder of the program under test.
fn schemathesis() -> PathBuf {
    let program = evenkeel();
    let target = program.parent().and_then(Path::parent).expect("a folder");
    let found = target.join("schemathesis/bin/schemathesis");
    assert!(
        found.exists(),
        "{}: ./dev setup installs it",
        found.display()
    );
    found
}

#[test]
fn the_server_does_what_its_description_says() {
    // The one of the examples.
    let example = "[[service]]\naddress = \"tcp://10.0.0.10:443\"\n\
                   backends = [\"10.0.0.2\", \"10.0.0.3\"]\n";
    let (scene, socket) = started("schema", example);
    let port = proxy(&socket);
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "110"]).arg(schemathesis());
    command.current_dir(scene.folder().path());
    command.arg("run");
    command.arg(format!("http://127.0.0.1:{port}/v1/openapi.json"));
    // It would end what is being tested; a stream does not end.
    for path in ["/v1/stop", "/v1/events"] {
        command.args(["--exclude-path", path]);
    }
    // That a service's address is one, a schema cannot say.
    command.args(["--exclude-checks", "positive_data_acceptance"]);
    command.args(["--phases", "examples,coverage,fuzzing"]);
    command.args(["--generation-deterministic", "--max-examples", "30"]);
    // The machine may be slow.
    command.args(["--suppress-health-check", "all"]);
    command.args(["--request-timeout", "20", "--no-color"]);
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.contains("Tested: 17"), "{stdout}");
    // Whatever was asked of it, packets are balanced.
    assert_eq!(scene.command("reload --discard-overrides").code, Some(0));
    let by_server = fresh_requests(&scene.client(), scene.vip().into(), 20);
    assert_eq!(by_server.len(), 2);
}

#[test]
fn a_hundred_who_trickle_hold_up_neither_requests_nor_packets() {
    let (scene, socket) = started("trickle", "");
    let mut slow: Vec<UnixStream> = (0..100)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let trickle = thread::spawn(move || {
        // A byte of a head that never ends, until the other side has cut all of them off.
        for byte in b"GET /v1/status HTTP/1.1\r\nX: "
            .iter()
            .chain([b'a'].iter().cycle())
        {
            slow.retain_mut(|stream| match stream.write_all(&[*byte]) {
                Ok(()) => true,
                Err(error) => error.kind() != ErrorKind::BrokenPipe,
            });
            if slow.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    assert_eq!(requests(&scene.client(), scene.vip().into(), 20).len(), 2);
    // It waits for two rounds of connections that are given three seconds each.
    let began = Instant::now();
    let (status, _) = get(&socket, "/v1/status");
    assert_eq!(status, 200);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    trickle.join().unwrap();
}

#[test]
fn requests_are_bounded_strict_and_refused_in_one_shape() {
    let (scene, socket) = started("strict", "");
    let large = format!("{{\"config\":\"{}\"}}", "#".repeat(17 << 20));
    let service = "/v1/services/tcp%3A%2F%2F10.0.0.10%3A8000";
    let backend = format!("{service}/backends/10.0.0.2");
    for (method, uri, body, status, error) in [
        (
            "GET",
            "/v1/flows?sevice=x",
            "",
            400,
            "unknown field `sevice`",
        ),
        ("GET", "/v1/flows?limit=0", "", 400, "`limit` is 0"),
        ("GET", "/v1/flows?after=x", "", 400, "`after` is"),
        (
            "GET",
            "/v1/services?after=tcp://10.0.0.9:1",
            "",
            404,
            "no service",
        ),
        ("GET", "/v1/services/web", "", 400, "no protocol"),
        ("GET", "/v1/nothing", "", 404, "there is no /v1/nothing"),
        ("GET", "/v1/reload", "", 405, "GET is nothing for"),
        (
            "POST",
            "/v1/plan",
            "{\"confg\":\"\"}",
            400,
            "unknown field `confg`",
        ),
        ("POST", "/v1/plan", "{", 400, "EOF"),
        ("POST", "/v1/plan", &large, 422, "larger than 16 MiB"),
        ("PATCH", &backend, "{}", 400, "a change of nothing"),
        ("PATCH", &backend, "{\"weight\":70000}", 422, "0 to 65535"),
        (
            "POST",
            "/v1/services",
            "{\"address\":\"tcp://10.0.0.10:8000\",\"backends\":[{\"address\":\"10.0.0.2\"}]}",
            409,
            "is there already",
        ),
    ] {
        let (found, answer) = request(&socket, method, uri, body);
        let failure: control::api::Failure =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!(found, status, "{method} {uri}: {failure}");
        assert!(failure.error.contains(error), "{method} {uri}: {failure}");
    }
    let (status, answer) = request(&socket, "POST", "/v1/apply", "{\"config\":\"seed = x\"}");
    assert_eq!(status, 422);
    let failure: control::api::Failure = serde_json::from_str(&answer).unwrap();
    let [problem] = failure.problems.as_slice() else {
        panic!("{failure:?}")
    };
    assert_eq!((problem.line, problem.column), (1, 8));
    assert_eq!(requests(&scene.client(), scene.vip().into(), 20).len(), 2);
}

#[test]
fn long_lists_come_in_pages() {
    let more: String = (1..=25)
        .map(|port| {
            format!(
                "[[service]]\naddress = \"udp://10.0.0.10:{port}\"\nbackends = [\"10.0.0.2\"]\n"
            )
        })
        .collect();
    let (_scene, socket) = started("pages", &more);
    let mut names = Vec::new();
    let mut uri = "/v1/services?limit=10".to_owned();
    loop {
        let (status, body) = get(&socket, &uri);
        assert_eq!(status, 200, "{body}");
        let page: control::api::model::ServicePage = serde_json::from_str(&body).unwrap();
        assert!(page.services.len() <= 10);
        names.extend(page.services.into_iter().map(|it| it.service));
        match page.next {
            Some(next) => uri = format!("/v1/services?limit=10&after={next}"),
            None => break,
        }
    }
    assert_eq!(names.len(), 26);
    assert_eq!(names[25], "udp://10.0.0.10:25");
}

/// `evenkeel status` by somebody of this group, and of no other, without any privileges.
fn status_as(scene: &Scene, group: u32) -> Finished {
    // The workspace may be in a place that others cannot look into.
    let program = scene.folder().path().join("evenkeel");
    std::fs::copy(evenkeel(), &program).expect("a copy that everybody may run");
    let mut command = scene.balancer_host().command("setpriv");
    command.args(["--reuid", &USER.to_string(), "--regid", &group.to_string()]);
    command.args(["--clear-groups", "--"]);
    command.arg(program).arg("status");
    finish(&command)
}

fn assert_refused(finished: &Finished, socket: &Path) {
    let Finished { code, stderr, .. } = finished;
    assert_eq!(*code, Some(1), "{stderr}");
    for part in [
        &*socket.display().to_string(),
        "Permission denied",
        "expected: root",
        "run it with sudo",
    ] {
        assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
    }
}

#[test]
fn nobody_but_root_and_the_group_may_use_the_socket() {
    let (scene, socket) = started("root", "");
    let metadata = std::fs::metadata(&socket).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_refused(&status_as(&scene, GROUP), &socket);
    drop(scene);
    let (scene, socket) = started("group", &format!("[api]\ngroup = \"{GROUP}\"\n"));
    let metadata = std::fs::metadata(&socket).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    assert_eq!((metadata.uid(), metadata.gid()), (0, GROUP));
    let folder = std::fs::metadata(socket.parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o711);
    assert_eq!((folder.uid(), folder.gid()), (0, 0));

    let of_the_group = status_as(&scene, GROUP);
    assert_eq!(of_the_group.code, Some(0), "{}", of_the_group.stderr);
    let name = scene.balancer_host().namespace().to_owned();
    assert!(of_the_group.stdout.contains(&name), "{of_the_group:?}");
    assert_refused(&status_as(&scene, USER), &socket);
}
