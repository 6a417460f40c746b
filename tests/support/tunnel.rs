//! Networks and backends of the modes that put an outer header in front of packets.

use lab::Blueprint;
use lab::topology::{Role, TUNNEL};

use super::binary::evenkeel;
use super::link::ip;
use super::scene::{Scene, tag};
use super::wait::PATIENCE;

impl Scene {
    /// The tunnel lab, without a load balancer yet, whose networks between load balancer and
    /// backends have room for any outer header around 1,500 bytes.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn roomy_tunnel(test: &str) -> Self {
        let lab = Blueprint::new(&TUNNEL, Some(&tag(test)));
        let lab = lab.and_then(|lab| lab.mtu("front", 1_600));
        let lab = lab.and_then(|lab| lab.mtu("backends", 1_600));
        let scene = Self::of(lab.unwrap_or_else(|error| panic!("{error}")));
        // Answers have no outer header, and their way ends in a network of 1,500.
        for backend in TUNNEL.with_role(Role::Backend) {
            let host = scene.host(backend.name);
            ip(&host, "route replace default via 10.2.0.254 mtu 1500");
            ip(&host, "-6 route replace default via fd00:2::254 mtu 1500");
        }
        scene
    }

    /// Starts `evenkeel decap` on every backend, for the VIPs and from the load balancer only.
    ///
    /// # Panics
    /// One does not get ready.
    pub fn decapsulate(&mut self) {
        let vips: Vec<_> = TUNNEL.vips().map(|vip| vip.to_string()).collect();
        self.decapsulate_for(&vips);
    }

    /// The same for other addresses or networks than the VIPs.
    ///
    /// # Panics
    /// One does not get ready.
    pub fn decapsulate_for(&mut self, vips: &[String]) {
        let balancer = self.balancer_host();
        let senders = [balancer.address(), balancer.address6()];
        let senders = senders.into_iter().flatten();
        let mut words = vec!["decap".to_owned(), "eth0".to_owned()];
        words.extend(
            vips.iter()
                .flat_map(|vip| ["--vip".to_owned(), vip.clone()]),
        );
        words.extend(senders.flat_map(|sender| ["--from".to_owned(), sender.to_string()]));
        for backend in TUNNEL.with_role(Role::Backend) {
            let process = self.host(backend.name).spawn(evenkeel(), &words);
            let mut process = process.unwrap_or_else(|error| panic!("{error}"));
            if let Err(error) = process.wait_ready(PATIENCE) {
                panic!("{error}");
            }
            self.decapsulators.push(process);
        }
    }
}
