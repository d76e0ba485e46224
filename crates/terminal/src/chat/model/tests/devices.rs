//! The account's devices on top: a code, digits, revoking.

use super::*;

/// What a new device shows, and another one.
const CODE: &str =
    "godwit-link:AQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHB_RX";
const OTHER: &str =
    "godwit-link:AQgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICCkr";

fn link(code: &str) -> LinkId {
    LinkId::of_code(code).unwrap()
}

/// The device that shows this code has come so far.
fn comes(code: &str, state: LinkingState) -> Event {
    Event::Linking { link: link(code), state }
}

/// Two devices, shown; this one is the main one, or not.
fn shown(is_main: bool) -> Model {
    let mut model = with_bob();
    assert_eq!(ctrl(&mut model, 'p'), [Effect::LoadDevices]);
    let this = DeviceInfo { device: 1, this: true, main: is_main };
    let other = DeviceInfo { device: 2, this: false, main: !is_main };
    done(&mut model, Outcome::Devices { list: Ok(vec![this, other]), linking: None });
    model
}

fn step(model: &Model) -> &Step {
    match &model.overlay {
        Some(Overlay::Devices(devices)) => &devices.step,
        other => panic!("{other:?}"),
    }
}

/// Linking as far as the digits.
fn compares() -> Model {
    let mut model = shown(true);
    keys(&mut model, &[KeyCode::Char('l')]);
    types(&mut model, CODE);
    let approve = Effect::ApproveLink { code: CODE.to_owned() };
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [approve]);
    assert_eq!(*step(&model), Step::Link(LinkingState::Waiting));
    done(&mut model, Outcome::Approved { code: CODE.to_owned(), done: Ok(()) });
    let digits = "123 456".to_owned();
    tell(&mut model, comes(CODE, LinkingState::Compare { digits, device: 3 }));
    model
}

#[test]
fn a_device_is_linked_when_the_digits_are_the_same() {
    for (key, with_history) in [('y', true), ('o', false)] {
        let mut model = compares();
        assert_eq!(keys(&mut model, &[KeyCode::Enter, KeyCode::Char('x')]), []);
        let confirm = Effect::ConfirmLink { link: link(CODE), with_history };
        assert_eq!(keys(&mut model, &[KeyCode::Char(key)]), [confirm]);
        assert_eq!(*step(&model), Step::Link(LinkingState::Publishing));
        done(&mut model, Outcome::Confirmed(Ok(())));
        tell(&mut model, comes(CODE, LinkingState::Linked { device: 3 }));
        assert_eq!(*step(&model), Step::Link(LinkingState::Linked { device: 3 }));
        assert_eq!(tell(&mut model, Event::Devices), [Effect::LoadDevices]);
        assert_eq!(keys(&mut model, &[KeyCode::Enter]), []);
        assert_eq!(*step(&model), Step::Look);
    }
}

#[test]
fn digits_that_differ_and_a_change_of_mind_give_it_up() {
    for key in [KeyCode::Char('n'), KeyCode::Esc] {
        let mut model = compares();
        assert_eq!(keys(&mut model, &[key]), [Effect::CancelLink { link: link(CODE) }]);
        assert_eq!(*step(&model), Step::Look);
        tell(&mut model, comes(CODE, LinkingState::Linked { device: 3 }));
        assert_eq!(*step(&model), Step::Look, "what another program does is not shown here");
        assert_eq!(keys(&mut model, &[KeyCode::Esc]), []);
        assert!(model.overlay.is_none());
    }
}

#[test]
fn a_wrong_code_can_be_mended() {
    let mut model = shown(true);
    let paste = "godwit-\r\n link:AB".to_owned();
    model.update(Wakeup::Input(Input::Paste(paste)), NOW);
    let code = "godwit-link:AB".to_owned();
    let approve = Effect::ApproveLink { code: code.clone() };
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [approve]);
    let wrong = Error::Linking("a mistake".to_owned());
    done(&mut model, Outcome::Approved { code: code.clone(), done: Err(wrong) });
    let Step::Code { field, problem } = step(&model) else { panic!("{:?}", step(&model)) };
    assert_eq!(field.text(), code);
    assert!(problem.as_ref().is_some_and(|text| text.contains("a mistake")), "{problem:?}");
    keys(&mut model, &[KeyCode::Char('C')]);
    assert!(matches!(step(&model), Step::Code { problem: None, .. }));
    assert_eq!(keys(&mut model, &[KeyCode::Esc]), []);
    assert_eq!(*step(&model), Step::Look);
}

#[test]
fn what_fails_later_says_why() {
    let mut model = compares();
    keys(&mut model, &[KeyCode::Char('y')]);
    done(&mut model, Outcome::Confirmed(Err(Error::TooManyDevices { max: 8 })));
    let Step::Link(LinkingState::Failed { reason }) = step(&model) else { panic!() };
    assert!(reason.contains("at most 8"), "{reason}");
}

#[test]
fn a_device_is_revoked_when_asked_twice_and_one_at_a_time() {
    let mut model = shown(true);
    let r = KeyCode::Char('r');
    assert_eq!(keys(&mut model, &[r]), []);
    let Some(Status::Trouble(text)) = &model.status else { panic!("this one stays") };
    assert!(text.contains("cannot revoke itself"), "{text}");
    assert_eq!(keys(&mut model, &[KeyCode::Down, r, KeyCode::Up, KeyCode::Down, r]), []);
    assert_eq!(*step(&model), Step::Revoke(2));
    assert_eq!(keys(&mut model, &[r]), [Effect::Revoke { device: 2 }]);
    assert_eq!(keys(&mut model, &[r, r]), [], "the server has not answered yet");
    let effects = done(&mut model, Outcome::Revoked { device: 2, done: Ok(()) });
    assert_eq!(effects, [Effect::LoadDevices]);
    assert_eq!(model.status, Some(Status::Done("device 2 is revoked".to_owned())));
    assert_eq!(keys(&mut model, &[r, r]), [Effect::Revoke { device: 2 }]);
}

#[test]
fn only_the_main_device_changes_anything() {
    let mut model = shown(false);
    for key in ['l', 'r'] {
        assert_eq!(keys(&mut model, &[KeyCode::Down, KeyCode::Char(key)]), []);
        let Some(Status::Trouble(text)) = &model.status else { panic!("{key}") };
        assert!(text.contains("only the main device"), "{text}");
        assert_eq!(*step(&model), Step::Look);
    }
}

#[test]
fn what_was_said_before_is_loaded_as_it_comes() {
    let mut model = with_bob();
    let told = |device, done| Event::History(HistoryProgress { device, given: 64, of: 99, done });
    assert_eq!(tell(&mut model, told(1, false)), [Effect::LoadChats]);
    assert!(model.history.is_some() && model.status.is_none());
    let load = Effect::LoadPage { with: handle("bob"), place: Place::Newest };
    assert!(tell(&mut model, told(1, true)).contains(&load));
    assert!(model.history.is_none() && model.status.is_some());
    for done in [false, true] {
        assert_eq!(tell(&mut model, told(2, done)), [], "another device is given it");
    }
}

#[test]
fn after_a_gap_linking_is_as_far_as_it_really_is() {
    let mut model = shown(true);
    keys(&mut model, &[KeyCode::Char('l')]);
    types(&mut model, CODE);
    keys(&mut model, &[KeyCode::Enter]);
    assert!(tell(&mut model, Event::Lagged(9)).contains(&Effect::LoadDevices));
    let linking = Some((link(CODE), LinkingState::Linked { device: 3 }));
    done(&mut model, Outcome::Devices { list: Ok(Vec::new()), linking });
    assert_eq!(*step(&model), Step::Link(LinkingState::Linked { device: 3 }));
}

/// Another program of this home links a device, and this one is told of that too.
#[test]
fn the_digits_of_another_device_are_never_shown() {
    let mut model = shown(true);
    keys(&mut model, &[KeyCode::Char('l')]);
    types(&mut model, CODE);
    keys(&mut model, &[KeyCode::Enter]);
    let theirs = LinkingState::Compare { digits: "999 999".to_owned(), device: 3 };
    tell(&mut model, comes(OTHER, theirs.clone()));
    assert_eq!(*step(&model), Step::Link(LinkingState::Waiting));
    let linking = Some((link(OTHER), theirs));
    done(&mut model, Outcome::Devices { list: Ok(Vec::new()), linking });
    assert_eq!(*step(&model), Step::Link(LinkingState::Waiting));
    let busy = Outcome::Approved { code: CODE.to_owned(), done: Err(Error::LinkingBusy) };
    done(&mut model, busy);
    let Step::Code { problem, .. } = step(&model) else { panic!("{:?}", step(&model)) };
    assert!(problem.as_ref().is_some_and(|text| text.contains("is being linked")), "{problem:?}");
}
