//! The main device at a rendezvous, where a test plays the new device.

use godwit_client::{LinkId, LinkingState};
use godwit_seal::{LinkError, LinkJoining, LinkOffer};
use godwit_wire::{Refusal, v1};

use crate::world::World;

/// How long the server wants not to be asked.
const WAIT_MS: u32 = 10_000;

impl World {
    /// Alice's device and a new one show each other digits.
    fn compares() -> (Self, LinkId, LinkJoining) {
        let mut world = Self::with(&["alice"]);
        let offer = LinkOffer::new().unwrap();
        let code = offer.code().text();
        let now = world.now();
        world.device("alice").core().approve_link(&code, now).unwrap();
        world.settle();
        let said = &world.server.relayed;
        let card = said.iter().find(|relay| !relay.body.is_empty()).unwrap().body.clone();
        let request = said.iter().find(|relay| relay.body.is_empty()).unwrap().request;
        let public = world.server.public;
        let (joining, answer) = offer.hear_card(&card, &public, &[9; 32], now.wall_ms).unwrap();
        world.server.say(0, v1::Relayed { request, body: answer.into() });
        world.settle();
        let (link, state) = world.device("alice").core().linking_state().unwrap();
        assert!(matches!(state, LinkingState::Compare { .. }), "{state:?}");
        (world, link, joining)
    }

    /// What was left for the new device after the card, each time.
    fn seconds(&self) -> Vec<Vec<u8>> {
        let said = self.server.relayed.iter().filter(|relay| relay.sequence == 2);
        said.map(|relay| relay.body.to_vec()).collect()
    }
}

#[test]
fn a_no_is_said_again_until_the_server_has_it() {
    let (mut world, link, joining) = World::compares();
    world.server.mischief.relay_refused =
        vec![(Refusal::RateLimited, WAIT_MS), (Refusal::Busy, WAIT_MS)];
    world.device("alice").core().cancel_link(link);
    for refused in 1..=2 {
        world.settle();
        assert_eq!(world.seconds().len(), refused, "not before the server wants it");
        let now = world.now();
        let core = world.device("alice").core();
        assert!(core.has_unsent() && core.linking_state().is_none());
        let due_ms = core.deadline().unwrap();
        assert!(due_ms > now.mono_ms && due_ms <= now.mono_ms + u64::from(WAIT_MS), "{due_ms}");
        world.pass(u64::from(WAIT_MS));
    }
    world.settle();
    let said = world.seconds();
    assert!(said.len() == 3 && said.iter().all(|no| *no == said[0]), "the same bytes, thrice");
    assert!(!world.device("alice").core().has_unsent());
    let wall_ms = world.now().wall_ms;
    let heard = joining.hear_result(&said[2], wall_ms);
    assert!(matches!(heard, Err(LinkError::Refused)), "{heard:?}");
    world.pass(u64::from(WAIT_MS));
    world.settle();
    assert_eq!(world.seconds().len(), 3);
}

#[test]
fn a_no_that_the_server_will_never_take_is_dropped() {
    let (mut world, link, _) = World::compares();
    world.server.mischief.relay_refused = vec![(Refusal::RelayExpired, 0)];
    world.device("alice").core().cancel_link(link);
    world.settle();
    world.pass(u64::from(WAIT_MS));
    world.settle();
    assert_eq!(world.seconds().len(), 1);
    assert!(!world.device("alice").core().has_unsent());
}
