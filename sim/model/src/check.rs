//! A run of the checker, and what it found.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Representative};

use crate::action::{Action, Place};
use crate::delivery::Delivery;
use crate::state::State;
use crate::symmetry::representative_of_merged;

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// Different states.
    pub states: usize,
    /// Steps that were looked at.
    pub steps: usize,
    /// The longest run without a state twice.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// What does not hold, and how that came about.
    pub broken: Vec<Broken>,
}

/// Something that does not hold.
#[derive(Debug)]
pub struct Broken {
    /// The promise.
    pub promise: &'static str,
    /// The steps that lead there.
    pub steps: Vec<String>,
}

/// Looks at every state, until one is found that breaks a promise.
pub fn all(model: Delivery) -> Found {
    let began = Instant::now();
    let search = model.checker().finish_when(HasDiscoveries::AnyFailures);
    let search = search.symmetry_fn(representative(&model));
    found(&model, &search.spawn_dfs().join(), began)
}

/// The nearest states first, until this promise breaks: by a shortest way. Needs more memory.
pub fn until_broken(model: Delivery, promise: &'static str) -> Found {
    let began = Instant::now();
    let search = model.checker().finish_when(HasDiscoveries::AllOf([promise].into()));
    found(&model, &search.spawn_bfs().join(), began)
}

/// Of the states that differ only by who is which, the one that stands for all.
fn representative(model: &Delivery) -> fn(&State) -> State {
    if model.merges { representative_of_merged } else { State::representative }
}

fn found(model: &Delivery, checker: &impl Checker<Delivery>, began: Instant) -> Found {
    let broken = checker
        .discoveries()
        .into_iter()
        .map(|(promise, path)| Broken { promise, steps: told(model, path.into_vec()) });
    Found {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        broken: broken.collect(),
    }
}

/// The steps of a way, with those that are one with the step before.
fn told(model: &Delivery, way: Vec<(State, Option<Action>)>) -> Vec<String> {
    let mut steps = Vec::new();
    for (state, action) in way {
        let Some(action) = action else { continue };
        steps.push(action.to_string());
        if model.merges {
            let next = state.after(action, model);
            next.closed(model, &mut |action| steps.push(action.to_string()));
        }
    }
    steps
}

/// What a killed server leaves, in every state of a search with crashes alone, and every state at rest.
pub fn outcomes(model: &Delivery) -> BTreeSet<State> {
    let representative = representative(model);
    let mut outcomes = BTreeSet::new();
    let mut met: HashSet<u64> = HashSet::new();
    let mut rest = model.init_states();
    let mut actions = Vec::new();
    while let Some(state) = rest.pop() {
        if !met.insert(fingerprint(&representative(&state))) {
            continue;
        }
        outcomes.extend(state.outcomes(model));
        model.actions(&state, &mut actions);
        rest.extend(actions.drain(..).filter_map(|action| model.next_state(&state, action)));
    }
    outcomes
}

/// What a walk through every state met.
#[derive(Debug, Default)]
pub struct Walk {
    /// Different states.
    pub states: usize,
    /// Where the product does what was done.
    pub places: BTreeSet<Place>,
    /// Steps from a state to itself: a run that need not end.
    pub circle: Option<Vec<String>>,
}

/// Walks through every state. That no state follows upon itself is what makes of "at rest everything is done"
/// a promise that everything is done at last: only what goes wrong is bounded by the scope, all else ends by
/// itself.
pub fn walk(model: &Delivery) -> Walk {
    let mut walk = Walk::default();
    // By fingerprint: whether every way on from the state was walked.
    let mut met: HashMap<u64, bool> = HashMap::new();
    let mut way: Vec<Halt> = Vec::new();
    for first in model.init_states() {
        met.insert(fingerprint(&first), false);
        way.push(Halt::at(model, first));
    }
    while let Some(halt) = way.last_mut() {
        let Some(action) = halt.rest.pop() else {
            met.insert(fingerprint(&halt.state), true);
            way.pop();
            continue;
        };
        halt.taken = Some(action);
        walk.places.extend(action.place());
        let Some(next) = model.next_state(&halt.state, action) else { continue };
        match met.get(&fingerprint(&next)) {
            Some(true) => {}
            Some(false) => walk.circle = Some(circle(&way, &next)),
            None => {
                met.insert(fingerprint(&next), false);
                way.push(Halt::at(model, next));
            }
        }
    }
    walk.states = met.len();
    walk
}

/// A state on the way, the step that was taken from it last, and those that are still to be taken.
struct Halt {
    state: State,
    taken: Option<Action>,
    rest: Vec<Action>,
}

impl Halt {
    fn at(model: &Delivery, state: State) -> Self {
        let mut rest = Vec::new();
        model.actions(&state, &mut rest);
        Self { state, taken: None, rest }
    }
}

fn circle(way: &[Halt], to: &State) -> Vec<String> {
    let halts = way.iter().skip_while(|halt| halt.state != *to);
    halts.filter_map(|halt| halt.taken).map(|action| action.to_string()).collect()
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken: {}", self.promise)?;
        (1..).zip(&self.steps).try_for_each(|(number, step)| writeln!(f, "{number:4}. {step}"))
    }
}
