//! People as scripts and people read of them.

use std::collections::BTreeMap;

use godwit_base::Handle;
use godwit_client::{Client, Contact, Error};
use serde::Serialize;

/// Somebody, as `contacts` and `listen` print them.
#[derive(Debug, Serialize)]
pub(crate) struct Person<'a> {
    with: &'a Handle,
    account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<&'a str>,
    picture_bytes: usize,
    verified: bool,
    blocked: bool,
    /// 0: not muted; the largest number: for ever.
    muted_until_ms: u64,
}

impl<'a> Person<'a> {
    pub(crate) fn new(contact: &'a Contact) -> Self {
        Self {
            with: &contact.handle,
            account: contact.account.to_string(),
            name: contact.name.as_deref(),
            about: contact.about.as_deref(),
            picture_bytes: contact.picture_bytes,
            verified: contact.verified,
            blocked: contact.blocked,
            muted_until_ms: contact.muted_until_ms,
        }
    }
}

/// What people call themselves, by handle.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<Handle, String>);

impl Names {
    /// Of everybody whom the account knows.
    pub(crate) async fn known_to(client: &Client) -> Result<Self, Error> {
        let mut names = Self::default();
        client.contacts().await?.iter().for_each(|contact| names.learn(contact));
        Ok(names)
    }

    /// Takes what is new.
    pub(crate) fn learn(&mut self, contact: &Contact) {
        match &contact.name {
            Some(name) => self.0.insert(contact.handle.clone(), name.clone()),
            None => self.0.remove(&contact.handle),
        };
    }

    pub(super) fn of(&self, handle: &Handle) -> Option<&str> {
        self.0.get(handle).map(String::as_str)
    }
}
