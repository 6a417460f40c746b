//! A lab with servers and a load balancer in it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use abi::reason::{Action, Reason};
use control::instance::socket_path;
use control::status::Status;
use lab::fetch::Target;
use lab::topology::Role;
use lab::{Blueprint, Host, HostProcess, Lab, SWITCH, Topology, port_name};

use super::binary::{Finished, evenkeel, finish};
use super::folder::Folder;
use super::link::xdp_programs;
use super::wait::PATIENCE;

/// Port of services and servers.
pub const PORT: u16 = 8000;

/// A lab. Everything in it ends, and it goes, with this value.
#[derive(Debug)]
pub struct Scene {
    // In the order of their end.
    balancer: Option<HostProcess>,
    servers: Vec<HostProcess>,
    lab: Lab,
    folder: Folder,
}

/// An instance tag that no other run of the tests has.
#[must_use]
pub fn tag(test: &str) -> String {
    format!("{test}{}", std::process::id())
}

/// Packets that met their verdict for this reason.
#[must_use]
pub fn reason(status: &Status, name: &str) -> u64 {
    *status
        .reasons
        .get(name)
        .unwrap_or_else(|| panic!("there is no reason {name}: {:?}", status.reasons))
}

/// Packets that were dropped, by the names of the reasons there were.
#[must_use]
pub fn dropped(status: &Status) -> Vec<(&'static str, u64)> {
    let drops = Reason::ALL
        .iter()
        .filter(|reason| reason.action() == Action::Drop);
    drops
        .map(|drop| (drop.name(), reason(status, drop.name())))
        .filter(|(_, count)| *count > 0)
        .collect()
}

impl Scene {
    /// A lab whose backends serve, without a load balancer yet; `test` is of `a-z` and `0-9`.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn new(topology: &'static Topology, test: &str) -> Self {
        let blueprint = Blueprint::new(topology, Some(&tag(test))).expect("a name for the lab");
        Self::of(blueprint)
    }

    /// The same of a lab with other settings.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn of(blueprint: Blueprint) -> Self {
        let lab = blueprint
            .pass_object(engine::object::PASS)
            .up()
            .unwrap_or_else(|error| panic!("{error}"));
        let mut scene = Self {
            balancer: None,
            servers: Vec::new(),
            folder: Folder::new(&lab.id().to_string()),
            lab,
        };
        for backend in scene.lab.id().topology().with_role(Role::Backend) {
            scene.serve(backend.name, PORT);
        }
        scene
    }

    /// Starts a server on a host.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn serve(&mut self, host: &str, port: u16) {
        let host = self.host(host);
        let listen = SocketAddr::new(host.address().expect("an address"), port).to_string();
        let arguments = ["lab", "serve", "--name", host.name(), "--listen", &listen];
        let server = host.spawn(evenkeel(), &arguments);
        let mut server = server.unwrap_or_else(|error| panic!("{error}"));
        if let Err(error) = server.wait_ready(PATIENCE) {
            panic!("{error}");
        }
        self.servers.push(server);
    }

    /// A host by name.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn host(&self, name: &str) -> Host {
        self.lab
            .host(name)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The folder for this test's files.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Both ends of every cable: host and interface, the switch's ends with the host's name
    /// `switch`.
    #[must_use]
    pub fn cable_ends(&self) -> Vec<(Host, String)> {
        let mut ends = Vec::new();
        for host in self.lab.id().topology().hosts {
            for interface in host.interfaces {
                ends.push((self.host(host.name), interface.name.to_owned()));
                ends.push((self.host(SWITCH), port_name(host, interface)));
            }
        }
        ends
    }

    /// A host's first address.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn address(&self, host: &str) -> Ipv4Addr {
        match self.host(host).address() {
            Some(IpAddr::V4(address)) => address,
            other => panic!("expected an IPv4 address of {host}, found {other:?}"),
        }
    }

    /// What clients reach.
    #[must_use]
    pub fn vip(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.lab.id().topology().vip, PORT)
    }

    /// Where `fetch` reaches it.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::root(self.vip().into())
    }

    /// The lab's load balancer host.
    #[must_use]
    pub fn balancer_host(&self) -> Host {
        self.host("lb")
    }

    /// Starts `evenkeel run ARGUMENTS` on the load balancer's host and waits until it is ready.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn run(&mut self, arguments: &str) -> &mut HostProcess {
        let words: Vec<_> = std::iter::once("run")
            .chain(arguments.split_whitespace())
            .collect();
        let process = self.balancer_host().spawn(evenkeel(), &words);
        let process = self
            .balancer
            .insert(process.unwrap_or_else(|error| panic!("{error}")));
        if let Err(error) = process.wait_ready(PATIENCE) {
            panic!("{error}");
        }
        process
    }

    /// Starts `evenkeel run --config --xdp` with this configuration and mode.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn run_config(&mut self, text: &str, mode: &str) -> &mut HostProcess {
        let path = self.folder.write("config.toml", text);
        self.run(&format!("--config {} --xdp {mode}", path.display()))
    }

    /// The running load balancer.
    ///
    /// # Panics
    /// It was not started.
    pub fn balancer(&mut self) -> &mut HostProcess {
        self.balancer.as_mut().expect("a running load balancer")
    }

    /// Runs `evenkeel ARGUMENTS` on the load balancer's host to its end.
    #[must_use]
    pub fn command(&self, arguments: &str) -> Finished {
        let mut command = self.balancer_host().command(evenkeel());
        command.args(arguments.split_whitespace());
        finish(&command)
    }

    /// What `evenkeel status --json` says.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn status(&self) -> Status {
        let Finished {
            code,
            stdout,
            stderr,
        } = self.command("status --json");
        assert_eq!(code, Some(0), "{stderr}");
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    /// Whether the instance has a socket, whoever is at its other end.
    #[must_use]
    pub fn has_socket(&self) -> bool {
        socket_path(self.balancer_host().namespace()).exists()
    }

    /// The XDP programs on all interfaces of the load balancer.
    #[must_use]
    pub fn programs(&self) -> Vec<u64> {
        let host = self.balancer_host();
        let interfaces = host.interfaces().iter();
        interfaces
            .flat_map(|interface| xdp_programs(&host, interface.name))
            .collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let socket = socket_path(self.balancer_host().namespace());
        self.balancer = None;
        // One that was killed could not remove it.
        let _ = fs::remove_file(socket);
    }
}
