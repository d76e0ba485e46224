//! One server for one test.

use godwit_base::JoinLink;
use godwit_server::config::Config;
use godwit_server::{Server, Setup};
use tempfile::TempDir;

use super::person::Person;

/// A running server with a data folder of its own.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) join: JoinLink,
    pub(crate) data: TempDir,
}

/// The configuration of tests: any free port, nothing else changed.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.listen.set_port(0);
    config
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A server that is set up otherwise.
    pub(crate) async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        Self::on(TempDir::new().unwrap(), change).await
    }

    /// A server on a folder that another had before.
    pub(crate) async fn on(data: TempDir, change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::new(config());
        setup.config.data = Some(data.path().to_owned());
        change(&mut setup);
        let server = Server::start(setup).await.unwrap();
        let join = server.ready().join.parse().unwrap();
        Self { server, join, data }
    }

    /// The server goes down in order; its folder stays.
    pub(crate) async fn stops(self) -> TempDir {
        let exit = self.server.stop().await;
        assert!(exit.is_normal(), "{exit}");
        self.data
    }

    /// Somebody registers, connects and has an empty mailbox.
    pub(crate) async fn joins(&self, handle: &str) -> Person {
        let mut person = Person::new(&self.join, handle);
        person.dials().await.unwrap();
        person.registers().await.unwrap();
        person.attaches().await;
        person
    }
}
