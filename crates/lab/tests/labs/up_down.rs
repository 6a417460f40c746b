//! Labs for real: up, down, nothing left behind.

use std::time::Duration;

use crate::support::{PASS, reaches};
use lab::{Blueprint, Error, LabId, topology};

fn namespaces_of(id: &LabId) -> Vec<String> {
    let all = lab::namespace::all().unwrap();
    id.namespaces()
        .into_iter()
        .filter(|name| all.contains(name))
        .collect()
}

#[test]
fn a_failed_up_leaves_nothing_behind() {
    let failed = Blueprint::new(&topology::ROUTED, Some("bad"))
        .unwrap()
        .pass_object(b"no ELF")
        .up();
    let text = failed.unwrap_err().to_string();
    assert!(text.contains("xdpdrv object"), "{text}");
    let id = LabId::new(&topology::ROUTED, Some("bad")).unwrap();
    assert_eq!(namespaces_of(&id), Vec::<String>::new());
    assert!(!id.pass_object_path().exists());
}

#[test]
fn up_twice_is_refused_and_harms_nothing() {
    let lab = crate::support::up(&topology::TUTORIAL, "twice");
    let again = Blueprint::of(lab.id().clone()).pass_object(PASS).up();
    assert!(matches!(again, Err(Error::AlreadyUp { .. })), "{again:?}");
    assert!(reaches(&lab, "client", [10, 0, 0, 2].into()));
}

#[test]
fn down_ends_what_runs_inside_and_can_be_repeated() {
    let lab = crate::support::up(&topology::TUTORIAL, "down");
    let id = lab.id().clone();
    let host = lab.host("h2").unwrap();
    let mut shell = host.command("sh");
    shell.args([
        "-c",
        "trap '' TERM; echo ready; while :; do sleep 0.1; done",
    ]);
    let mut process = lab::HostProcess::spawn("stubborn", shell).unwrap();
    process.wait_ready(Duration::from_secs(5)).unwrap();
    let listed = lab::list().unwrap();
    let listed = listed
        .iter()
        .find(|listing| listing.lab == "tutorial-down")
        .unwrap();
    assert!(
        listed
            .hosts
            .iter()
            .any(|host| host.name == "h2" && !host.processes.is_empty())
    );
    assert_eq!(lab::down(&id).unwrap().len(), 5);
    assert!(process.wait(Duration::from_secs(1)).unwrap().is_some());
    assert_eq!(lab::down(&id).unwrap(), Vec::<String>::new());
    assert!(
        lab::list()
            .unwrap()
            .iter()
            .all(|listing| listing.lab != "tutorial-down")
    );
}

#[test]
fn the_printed_script_builds_the_same_lab() {
    let blueprint = Blueprint::new(&topology::TUTORIAL, Some("script"))
        .unwrap()
        .pass_object(PASS);
    let status = std::process::Command::new("sh")
        .args(["-ec", &blueprint.script()])
        .status();
    // Removes the lab, however it was made.
    let lab = lab::Lab::open(blueprint.id().clone()).unwrap();
    let reached = reaches(&lab, "client", [10, 0, 0, 10].into());
    lab.down().unwrap();
    assert!(status.unwrap().success() && reached);
}

#[test]
fn a_panic_takes_the_lab_down() {
    let id = LabId::new(&topology::TUTORIAL, Some("panic")).unwrap();
    let panicked = std::thread::spawn(|| {
        let _lab = crate::support::up(&topology::TUTORIAL, "panic");
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert_eq!(namespaces_of(&id), Vec::<String>::new());
}
