//! Whatever goes wrong, everything comes to an end.

use godwit_model::check::walk;
use godwit_model::delivery::Delivery;
use godwit_model::fault::Fault;
use godwit_model::scope::{Budget, Scope};

fn one(crashes: u8, cuts: u8, refusals: u8, hand_overs: u8) -> Scope {
    let budget = Budget { crashes, cuts, refusals, hand_overs, finals: 0 };
    Scope { name: "ends", messages: [2, 0], devices: 1, budget }
}

/// The client asks for the latest that was refused, the server refuses it because of the first, for ever.
#[test]
fn going_back_to_the_latest_of_several_refusals_never_ends() {
    let walk = walk(&Delivery::new(one(0, 0, 1, 0)).with(Fault::AwaitsLatest));
    let steps = walk.circle.unwrap_or_default();
    assert_eq!(steps, ["hears: sender 0, Now, Submit(2)", "on_refused: sender 0, AfterRefusal(2)"]);
}

#[test]
fn no_state_follows_upon_itself() {
    let refused_for_good = Budget { finals: 1, refusals: 1, ..Budget::default() };
    let refused_for_good = Scope { budget: refused_for_good, ..one(0, 0, 0, 0) };
    for scope in [one(1, 0, 0, 0), one(0, 1, 0, 0), one(0, 0, 1, 1), refused_for_good] {
        let walk = walk(&Delivery::new(scope));
        assert_eq!(walk.circle, None, "{:?}", scope.budget);
        assert!(walk.states > 10_000, "{} states of {:?}", walk.states, scope.budget);
    }
}
