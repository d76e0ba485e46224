//! Supervision kernel: tasks that may fail, and supervisors that start, watch, restart and stop
//! them by rule. What a supervisor sees is visible live as a [`Tree`].
//!
//! ```
//! use godwit_actor::{ChildSpec, Exit, Restart, Strategy, Supervisor};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let root = Supervisor::new("root", Strategy::RestForOne).child(ChildSpec::new(
//!     "echo",
//!     Restart::Permanent,
//!     |child| async move {
//!         child.stopping().await;
//!         Exit::Stopped
//!     },
//! ));
//! let running = root.start();
//! println!("{}", running.tree());
//! assert_eq!(running.stop().await, Exit::Stopped);
//! # }
//! ```

mod budget;
mod child;
mod exit;
mod inbox;
mod node;
mod supervisor;
mod tree;

pub use budget::{Backoff, Chance, RestartBudget};
pub use child::{ChildContext, ChildSpec, Restart};
pub use exit::Exit;
pub use inbox::{Inbox, Next, Push, Weigh};
pub use supervisor::{Running, Strategy, Supervisor};
pub use tree::{Kind, State, Tree, TreeHandle};
