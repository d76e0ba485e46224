//! Posts in RAM: messages to groups whose body is stored once, and how many mailboxes still hold them.
//! The count is not on disk: it is the number of records that name the post. RAM: about 80 B a post.

use std::collections::HashMap;

use godwit_base::{DeviceId, GroupId, Seq};

use super::fault::Fault;

/// All posts that some mailbox holds.
#[derive(Debug, Default)]
pub(crate) struct Posts(HashMap<Seq, Posted>);

/// One post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) group: GroupId,
    pub(crate) from: DeviceId,
    pub(crate) counter: u64,
    pub(crate) body_bytes: u32,
    /// Records that name it.
    pub(crate) holders: u32,
}

impl Posts {
    pub(crate) fn get(&self, post: Seq) -> Result<Posted, Fault> {
        self.0.get(&post).copied().ok_or_else(|| Fault::damaged(format!("post {} is gone", post.0)))
    }

    pub(crate) fn insert(&mut self, post: Seq, posted: Posted) {
        self.0.insert(post, posted);
    }

    /// One record more names it, while loading.
    pub(crate) fn hold(&mut self, post: Seq) -> Result<(), Fault> {
        let posted = self.0.get_mut(&post);
        let posted = posted.ok_or_else(|| Fault::damaged(format!("post {} is gone", post.0)))?;
        posted.holders += 1;
        Ok(())
    }

    /// One record less names it. Says whether it was the last: then the body goes too.
    pub(crate) fn release(&mut self, post: Seq) -> bool {
        let Some(posted) = self.0.get_mut(&post) else { return false };
        posted.holders = posted.holders.saturating_sub(1);
        let last = posted.holders == 0;
        if last {
            self.0.remove(&post);
        }
        last
    }

    /// A post that no record names, if there is one.
    pub(crate) fn unheld(&self) -> Option<Seq> {
        self.0.iter().find(|(_, posted)| posted.holders == 0).map(|(post, _)| *post)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }
}
