//! Ways to build it wrong. Each is one switch in the model; for each there is a property that must find it,
//! or that property would prove nothing.

/// One thing that is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The store tells outcomes and records before its sync (M1).
    TickBeforeDisk,
    /// A client acknowledges what it has not committed (M2).
    AckBeforeCommit,
    /// The server deletes a record when it has said it (M2).
    DeleteOnDelivery,
    /// A page begins with the newest record (M2).
    PageNewestFirst,
    /// The store asks no window (M3).
    NoWindow,
    /// The windows are in memory alone (M3).
    WindowInMemory,
    /// A client shows whatever comes (M3).
    NoDedup,
    /// A session takes what follows a refusal (M4, decision 0006).
    TakesAfterRefusal,
    /// A session goes on refusing when what it refused has come again (decision 0006).
    RefusesForEver,
    /// The store takes what the session had handed in when a refusal was on its way (M4, decision 0006).
    NoHolds,
    /// After a refusal the client sends on before all answers have come (M4, decision 0041).
    NoSettling,
    /// Of several that were refused the client goes back to the latest.
    AwaitsLatest,
    /// The receipt is filed when the record is said (M5).
    ReceiptOnDelivery,
    /// The receipt is filed in a batch after the one that deletes (decision 0007).
    ReceiptInLaterBatch,
    /// A batch that fails forgets the acknowledgements in it.
    AckForgotten,
    /// The inbox is emptied after the page was read, not before (decision 0027).
    InboxEmptiedLate,
    /// A full inbox drops without a mark (decision 0027).
    OverflowUnmarked,
    /// A link that was made earlier takes the device from a newer one (M7).
    LateAttachTakes,
    /// A session that another link has displaced submits what it still reads.
    DisplacedSubmits,
    /// A session that moved takes what follows a refusal.
    MoveForgetsRefusal,
    /// Sessions move while outcomes are on their way.
    MoveLosesOutcomes,
    /// Sessions move with outcomes that they have not turned into answers.
    MoveUnsettled,
    /// A session that moved does not read its mailbox.
    MoveGoesOnLive,
}
