//! What the writer does beside messages: rare, answered one by one, each with its own reply.

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, GroupId};
use tokio::sync::oneshot;

use crate::{
    DeviceList, FirstKeys, GroupChange, GroupError, GroupRoster, Invite, KeyUpload, KeysError,
    ListError, PostRead, Publisher, RegisterError, Registration, StoreError, Swept, TakenKeys,
};

/// Where an answer goes.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// One task of the writer.
#[derive(Debug)]
pub(crate) enum Task {
    Register(Box<Registration>, Reply<(), RegisterError>),
    ReplaceList(Publisher, Box<(DeviceList, Vec<FirstKeys>)>, Reply<(), ListError>),
    ChangeGroup(DeviceId, Box<GroupChange>, Reply<(), GroupError>),
    GroupRoster(AccountId, GroupId, Reply<GroupRoster, GroupError>),
    NoteRead(AccountId, GroupId, Vec<PostRead>, Reply<(), StoreError>),
    PublishKeys(DeviceId, KeyUpload, Reply<u32, KeysError>),
    TakeKeys(DeviceId, bool, Reply<TakenKeys, KeysError>),
    PutInvite(Invite, Reply<(), StoreError>),
    PutMeta(&'static str, Bytes, Reply<(), StoreError>),
    Sweep(Reply<Swept, StoreError>),
}

impl Task {
    /// Answers that it could not be done.
    pub(crate) fn refuse(self, error: StoreError) {
        match self {
            Self::Register(_, reply) => send(reply, Err(error.into())),
            Self::ReplaceList(_, _, reply) => send(reply, Err(error.into())),
            Self::ChangeGroup(_, _, reply) => send(reply, Err(error.into())),
            Self::GroupRoster(_, _, reply) => send(reply, Err(error.into())),
            Self::NoteRead(_, _, _, reply) => send(reply, Err(error)),
            Self::PublishKeys(_, _, reply) => send(reply, Err(error.into())),
            Self::TakeKeys(_, _, reply) => send(reply, Err(error.into())),
            Self::PutInvite(_, reply) => send(reply, Err(error)),
            Self::PutMeta(_, _, reply) => send(reply, Err(error)),
            Self::Sweep(reply) => send(reply, Err(error)),
        }
    }

    /// A task whose answer nobody reads.
    #[cfg(test)]
    pub(crate) fn nothing() -> Self {
        Self::Sweep(oneshot::channel().0)
    }
}

/// An answer that is known but waits for its batch: told the batch's fate, it goes out.
pub(crate) struct Pending(Box<dyn FnOnce(Result<(), StoreError>) + Send>);

impl Pending {
    pub(crate) fn new<T, E>(reply: Reply<T, E>, answer: Result<T, E>) -> Self
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        Self(Box::new(move |batch| {
            send(
                reply,
                match batch {
                    Ok(()) => answer,
                    Err(error) => Err(error.into()),
                },
            );
        }))
    }

    pub(crate) fn send(self, batch: Result<(), StoreError>) {
        (self.0)(batch);
    }
}

/// Whoever asked may have gone away: then nobody wants the answer.
pub(crate) fn send<T, E>(reply: Reply<T, E>, answer: Result<T, E>) {
    drop(reply.send(answer));
}
