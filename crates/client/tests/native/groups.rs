//! Who has read what was said in groups, over the real server.

use godwit_base::MessageId;
use godwit_client::core::GroupCommand;
use godwit_client::{Client, Event, Info, MessageState, Reach, Since};

use crate::stage::{Stage, handle, soon, take};

/// Waits until as many have read a message.
async fn read_by(client: &Client, id: MessageId, readers: u32) -> Reach {
    let mut events = client.events(Since::Now);
    loop {
        let item = client.message(id).await.unwrap().unwrap();
        match item.details.reach {
            Some(reach) if reach.read >= readers => return reach,
            _ => {}
        }
        while !matches!(events.next().await.unwrap(), Event::Reach { id: of, .. } if of == id) {}
    }
}

fn state_at(info: &Info, who: &str) -> MessageState {
    info.recipients.iter().find(|to| to.handle == handle(who)).unwrap().state
}

#[tokio::test]
async fn who_has_read_a_message_to_a_small_group_is_counted_and_named() {
    let stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let carol = stage.joined("carol").await;
    let with = vec![handle("bob"), handle("carol")];
    let create = GroupCommand::Create { name: "Herons".to_owned(), with };
    let group = soon(alice.change_group(create)).await.unwrap().group;
    let id = alice.send(group, "hi".to_owned()).await.unwrap();
    take(&bob, 1).await.unwrap();
    take(&carol, 1).await.unwrap();
    bob.mark_read(group).await.unwrap();
    let reach = soon(read_by(&alice, id, 1)).await;
    assert_eq!((reach.read, reach.of), (1, 2));
    let info = soon(alice.info(id)).await.unwrap();
    assert_eq!(state_at(&info, "bob"), MessageState::Read);
    assert!(state_at(&info, "carol") != MessageState::Read && info.unknown.is_none());
    carol.mark_read(group).await.unwrap();
    let read = soon(alice.wait_for(id, MessageState::Read)).await.unwrap();
    assert_eq!(read, MessageState::Read);
    assert_eq!(soon(read_by(&alice, id, 2)).await, Reach { delivered: 2, read: 2, of: 2 });
}

#[tokio::test]
async fn who_has_read_a_message_to_a_large_group_is_counted_and_asked() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let mut with = vec![handle("bob")];
    for n in 2..34 {
        let name = format!("p{n}");
        stage.join(&name).await;
        with.push(handle(&name));
    }
    let create = GroupCommand::Create { name: "Herons".to_owned(), with };
    let group = soon(alice.change_group(create)).await.unwrap().group;
    let id = alice.send(group, "hi".to_owned()).await.unwrap();
    take(&bob, 1).await.unwrap();
    bob.mark_read(group).await.unwrap();
    let reach = soon(read_by(&alice, id, 1)).await;
    assert_eq!(reach, Reach { delivered: 1, read: 1, of: 33 });
    let info = soon(alice.info(id)).await.unwrap();
    assert_eq!((info.recipients.len(), info.unknown.clone()), (33, None));
    assert_eq!(state_at(&info, "bob"), MessageState::Read);
    assert_eq!(state_at(&info, "p9"), MessageState::Accepted);
    stage.kill();
    let mut offline = alice.connection();
    soon(offline.wait_for(|state| !matches!(state, godwit_client::ConnectionState::Online)))
        .await
        .unwrap();
    let info = soon(alice.info(id)).await.unwrap();
    assert!(info.recipients.is_empty() && info.unknown.is_some(), "not known just now");
    assert_eq!(info.message.details.reach, Some(reach), "as it was told last");
}
