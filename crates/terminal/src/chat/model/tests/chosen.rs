//! One message is chosen: answer, react, edit, delete, star, vote.

use godwit_client::{Act, Changed, HistoryItem, Note, Poll, PollOption, Reaction};

use super::*;

/// Bob's chat with a message of alice at its end, chosen.
fn chosen() -> (Model, HistoryItem) {
    let mut model = with_bob();
    let item = message(10, "alice", "mine").item();
    tell(&mut model, Event::Message(item.clone()));
    ctrl(&mut model, 'o');
    (model, item)
}

fn act(item: &HistoryItem, act: Act) -> Effect {
    Effect::Act { id: item.id, act }
}

fn shown(model: &Model) -> HistoryItem {
    model.conversation.as_ref().unwrap().chosen().unwrap().clone()
}

fn tell_act(model: &mut Model, item: &HistoryItem, act: Act) {
    let (with, from) = (handle("bob"), "bob".parse().unwrap());
    let changed = Changed { row: 99, id: item.id, with, from, at_ms: NOW, act };
    tell(model, Event::Changed(changed));
}

#[test]
fn the_arrows_choose_and_escape_goes_back_to_typing() {
    let (mut model, item) = chosen();
    assert_eq!((model.focus, shown(&model).id), (Focus::Messages, item.id));
    keys(&mut model, &[KeyCode::Up, KeyCode::Up]);
    assert_eq!(shown(&model).text.as_deref(), Some("m8"));
    keys(&mut model, &[KeyCode::Down, KeyCode::Down, KeyCode::Down]);
    assert_eq!(shown(&model).id, item.id);
    keys(&mut model, &[KeyCode::Esc]);
    assert_eq!(model.focus, Focus::Composer);
    assert!(model.conversation.unwrap().chosen().is_none());
}

#[test]
fn an_answer_quotes_the_chosen_message() {
    let (mut model, _) = chosen();
    keys(&mut model, &[KeyCode::Up]);
    let reply_to = shown(&model).quote();
    keys(&mut model, &[KeyCode::Char('r')]);
    types(&mut model, "yes");
    let (to, text) = (handle("bob"), "yes".to_owned());
    let answer = Effect::Answer { to, text, reply_to };
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [answer]);
    types(&mut model, "plain");
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [send("plain")]);
    // Escape: the text stays, as a plain message.
    ctrl(&mut model, 'o');
    keys(&mut model, &[KeyCode::Enter]);
    types(&mut model, "no");
    keys(&mut model, &[KeyCode::Esc]);
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [send("no")]);
}

#[test]
fn a_message_of_ours_is_edited_in_the_composer_and_deleted_when_asked_twice() {
    let (mut model, item) = chosen();
    keys(&mut model, &[KeyCode::Char('e')]);
    assert_eq!(model.composer.text(), "mine");
    types(&mut model, "!");
    let edited = act(&item, Act::Edit("mine!".to_owned()));
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [edited]);
    ctrl(&mut model, 'o');
    assert_eq!(types(&mut model, "d"), []);
    assert_eq!(types(&mut model, "kjd"), [], "it was asked about another time");
    assert_eq!(types(&mut model, "d"), [act(&item, Act::Deletion)]);
    keys(&mut model, &[KeyCode::Up]);
    assert_eq!(types(&mut model, "dde"), [], "not what bob said");
}

#[test]
fn digits_react_or_vote_and_a_star_is_turned() {
    let (mut model, item) = chosen();
    assert_eq!(types(&mut model, "1"), [act(&item, Act::Reaction("👍".to_owned()))]);
    assert_eq!(types(&mut model, "0"), [act(&item, Act::Reaction(String::new()))]);
    assert_eq!(types(&mut model, "7"), []);
    assert_eq!(types(&mut model, "*"), [act(&item, Act::Star(true))]);
    tell_act(&mut model, &item, Act::Star(true));
    assert_eq!(types(&mut model, "*"), [act(&item, Act::Star(false))]);

    let mut poll = message(11, "bob", "what?").item();
    let option = |text: &str| PollOption { text: text.to_owned(), voters: Vec::new() };
    let options =
        vec![option("tea"), PollOption { voters: vec![model.me.handle.clone()], ..option("x") }];
    poll.details.poll = Some(Poll { question: "what?".to_owned(), options, several: true });
    tell(&mut model, Event::Message(poll.clone()));
    keys(&mut model, &[KeyCode::Down]);
    assert_eq!(types(&mut model, "1"), [act(&poll, Act::Vote(vec![1, 0]))]);
    assert_eq!(types(&mut model, "2"), [act(&poll, Act::Vote(Vec::new()))]);
    assert_eq!(types(&mut model, "0"), [act(&poll, Act::Vote(Vec::new()))]);
}

#[test]
fn what_others_do_is_seen_at_once() {
    let (mut model, item) = chosen();
    tell_act(&mut model, &item, Act::Reaction("🎉".to_owned()));
    let reaction = Reaction { from: "bob".parse().unwrap(), emoji: "🎉".to_owned() };
    assert_eq!(shown(&model).details.reactions, [reaction]);
    tell_act(&mut model, &item, Act::Deletion);
    assert_eq!(shown(&model).note, Some(Note::Deleted));
    tell(&mut model, Event::Expired { id: item.id, with: handle("bob") });
    assert!(model.conversation.unwrap().chosen().is_none());
}

#[test]
fn s_saves_the_file_of_a_message_that_has_one() {
    let (mut model, item) = chosen();
    assert_eq!(keys(&mut model, &[KeyCode::Char('s')]), []);
    assert!(matches!(model.status, Some(Status::Trouble(_))));
    let mut photo = message(11, "bob", "look").item();
    let media = godwit_client::MediaInfo { name: "p.jpg".to_owned(), ..Default::default() };
    photo.details.media = Some(Box::new(media));
    tell(&mut model, Event::Message(photo.clone()));
    keys(&mut model, &[KeyCode::Down]);
    assert_ne!(shown(&model).id, item.id);
    let save = Effect::Save { id: photo.id, name: "p.jpg".to_owned() };
    assert_eq!(keys(&mut model, &[KeyCode::Char('s')]), [save]);
    model.update(Wakeup::Done(Outcome::Saved(Ok("p.jpg".into()))), NOW);
    assert_eq!(model.status, Some(Status::Done("saved as p.jpg".to_owned())));
}
