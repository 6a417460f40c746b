//! What the tests of this folder share.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use lab::serve::{ServeOptions, serve};
use lab::{Blueprint, Host, Interrupt, Lab, Topology};

/// An XDP program that returns `XDP_PASS`: `r0 = 2; exit` in section `xdp`, licence GPL,
/// made by `llc -march=bpf -filetype=obj` from
/// `define i32 @pass(ptr %ctx) section "xdp" { ret i32 2 }`.
pub(crate) const PASS: &[u8] = include_bytes!("pass.o");

/// A lab of its own for the calling test.
pub(crate) fn up(topology: &'static Topology, instance: &str) -> Lab {
    Blueprint::new(topology, Some(instance))
        .unwrap()
        .pass_object(PASS)
        .up()
        .unwrap()
}

/// A server in a host, on a thread; stops and is waited for when dropped.
pub(crate) struct Server {
    interrupt: Interrupt,
    thread: Option<JoinHandle<lab::Result<lab::Result<()>>>>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(host: &Host) -> Self {
        let interrupt = Interrupt::never();
        let options = ServeOptions {
            name: host.name().to_owned(),
            listen: (host.address().unwrap(), 8000).into(),
        };
        let address = options.listen;
        let (sender, ready) = mpsc::channel();
        let flag = interrupt.clone();
        let thread = host
            .thread(move || serve(&options, &flag, &mut Line(sender)))
            .unwrap();
        ready.recv().expect("the server listens");
        Self {
            interrupt,
            thread: Some(thread),
            address,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.interrupt.set();
        self.thread
            .take()
            .unwrap()
            .join()
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

/// Where the ready line goes.
struct Line(mpsc::Sender<()>);

impl std::io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(()).ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
