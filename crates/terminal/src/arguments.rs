//! The command line, exactly as `docs` and scripts know it. Parsing only; nothing happens here.

mod about;
mod people;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use godwit_base::{GroupId, GroupLink, Handle, IdError, JoinLink, MessageId};
use godwit_client::ChatId;
use godwit_client::core::check_group_name;

pub(crate) use self::about::{About, Setting, Switch, Who, span};
pub(crate) use self::people::{Mute, Profile, Report, SetProfile, Span, Whom};

/// How the exit code is to be read; the last part of every help page.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; one line on standard error says what to do
  2  wrong usage
  3  timed out (a message stays in the outbox and goes out later)
  4  refused by the server, or by the other side's keys";

/// A messenger for the terminal: durable, encrypted from end to end, and scriptable.
#[derive(Debug, Parser)]
#[command(name = "godwit", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Folder of this device's keys and messages [default: godwit in the XDG data folder]
    #[arg(long, global = true, env = "GODWIT_HOME", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) home: Option<PathBuf>,

    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create keys and an account on a server
    Join(Join),
    /// Send a message
    Send(Send),
    /// Save the file of a message
    Save(Save),
    #[command(flatten)]
    About(About),
    /// Print what arrives
    ///
    /// Each message once, also across restarts, and what is said about one: reactions, edits, deletions, votes.
    /// Run one for each home: two at the same time print each message twice, for neither knows what the
    /// other has printed.
    ///
    /// Other events (receipts, changes of groups and contacts, presence, warnings) are printed when they come
    /// in while it runs. What they change is stored, whichever command took them in: godwit history, info,
    /// group show and contacts have it.
    Listen(Listen),
    /// Print the messages of one chat that this device has stored
    History(History),
    /// List the chats
    Chats,
    /// Search the stored messages
    Search(Search),
    /// Show the safety number and QR code that prove who is at the other end
    Verify(Verify),
    /// Make and change groups
    Group {
        /// What to do with them
        #[command(subcommand)]
        command: Group,
        #[command(flatten)]
        limit: Limit,
    },
    /// Make and change communities: groups that have announcements in common
    Community {
        /// What to do with them
        #[command(subcommand)]
        command: Community,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show whether somebody is online, and whether they type
    Presence(Presence),
    /// List the people you know, and who is blocked or muted
    Contacts,
    /// Show or change how you are shown to those you have written to
    #[command(subcommand)]
    Profile(Profile),
    /// Show nothing of somebody any more and send them nothing; they are not told
    Block(Whom),
    /// Lift a block
    Unblock(Whom),
    /// Mark a contact as one that makes no notifications
    Mute(Mute),
    /// Lift a mute
    Unmute(Whom),
    /// Report somebody to the operator of the server, who can read the chosen messages then
    Report(Report),
    /// Open the full-screen messenger
    Chat(Chat),
    /// Make a new device one of an account that exists, or let it become one
    #[command(subcommand)]
    Link(LinkCommand),
    /// List the devices of this account, or take one away
    Devices {
        /// What to do with them; without it they are listed
        #[command(subcommand)]
        command: Option<DevicesCommand>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show the words that bring the account back when all its devices are lost
    #[command(subcommand)]
    Recovery(RecoveryCommand),
    /// Bring an account back by its recovery words; its other devices are taken away
    Recover(Recover),
    /// Print completions for a shell
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
    /// Print the manual page, or write one page for each command into a folder
    Man {
        /// Folder to write the pages into
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// What the server printed when it started: godwit://host:port#key
    pub(crate) link: JoinLink,

    /// The handle others will know you by
    #[arg(long = "as", value_name = "HANDLE")]
    pub(crate) handle: Handle,

    /// Invite code, if the server asks for one
    #[arg(long, value_name = "CODE")]
    pub(crate) invite: Option<String>,

    #[command(flatten)]
    pub(crate) limit: Limit,
}

/// How long the server is waited for, by commands that have a bound of their own.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Limit {
    /// Seconds to wait for the server [default: 30; 60 for a change of groups or devices]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Who gets the message
    #[arg(value_name = "HANDLE")]
    pub(crate) to: ChatId,

    /// What to say; put -- before a text that starts with a dash
    #[arg(required_unless_present_any = ["lines", "file"], conflicts_with = "lines")]
    pub(crate) text: Option<String>,

    /// Send this file; the text, if there is one, goes with it
    #[arg(long, value_name = "PATH", conflicts_with = "lines", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// The file is a voice note: an Opus recording, to be played in the chat
    #[arg(long, requires = "file")]
    pub(crate) voice: bool,

    /// Send each line of standard input as one message, in order
    #[arg(long)]
    pub(crate) lines: bool,

    /// Answer this message
    #[arg(long, value_name = "MESSAGE_ID", conflicts_with = "lines", value_parser = about::message_id)]
    pub(crate) reply: Option<MessageId>,

    /// How far the message must have come before the command ends
    #[arg(long, value_enum, default_value_t = Wait::Accepted, value_name = "STATE")]
    pub(crate) wait: Wait,

    /// Seconds to wait, counted from when the (last) message is in the outbox [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Save {
    /// The message, as listen and history print it
    #[arg(value_name = "MESSAGE_ID", value_parser = about::message_id)]
    pub(crate) id: MessageId,

    /// Where to
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) out: PathBuf,

    /// Replace a file of that name
    #[arg(long)]
    pub(crate) force: bool,

    /// Seconds to wait; what came until then is kept, and the next try goes on [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// A state of a sent message that one can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// One tick: the server has it on disk
    Accepted,
    /// Two ticks: a device of the other side has it; in a group, a device of each other member
    Delivered,
    /// Blue ticks: the other side has seen it; in a group, each other member (never if one of them does
    /// not tell what they read)
    Read,
}

#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// End after this many messages, those that your other devices sent among them; 0 is no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) count: u64,

    /// End after this many seconds; exit code 3 if fewer than --count messages came
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Tell the senders that their messages were read
    #[arg(long)]
    pub(crate) read: bool,

    /// Also print when this contact comes, goes, or types; may be given 32 times
    #[arg(long, value_name = "HANDLE")]
    pub(crate) presence: Vec<Handle>,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Whose chat: a handle, or group:ID
    #[arg(value_name = "CHAT")]
    pub(crate) with: ChatId,

    /// Only the newest N messages [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Words to look for
    #[arg(value_name = "TEXT")]
    pub(crate) text: String,

    /// Most hits to print
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Whom to verify
    #[arg(value_name = "HANDLE")]
    pub(crate) with: Handle,

    /// Remember that you have compared the numbers and they are the same
    #[arg(long, conflicts_with = "forget")]
    pub(crate) confirm: bool,

    /// Forget an earlier --confirm
    #[arg(long)]
    pub(crate) forget: bool,

    #[command(flatten)]
    pub(crate) limit: Limit,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// Make a group and print its id
    Create {
        /// What the group is called; only its members can read it
        #[arg(value_parser = group_name)]
        name: String,
        /// Who is in it besides you
        #[arg(value_name = "HANDLE")]
        who: Vec<Handle>,
    },
    /// Add members
    Add(Members),
    /// Remove members; a link to the group holds no more then
    Remove(Members),
    /// Let members change the group
    Admin {
        /// Which members.
        #[command(flatten)]
        members: Members,
        /// Take that right back
        #[arg(long)]
        remove: bool,
    },
    /// Leave a group
    Leave(Which),
    /// Print who is in a group, who may change it, and its epoch
    Show(Which),
    /// List the groups
    List,
    /// Give a group another name
    Rename {
        /// Which group.
        #[command(flatten)]
        which: Which,
        /// What it is called from now on
        #[arg(value_parser = group_name)]
        name: String,
    },
    /// Give a group another picture, or save the one it has
    Picture {
        /// Which group.
        #[command(flatten)]
        which: Which,
        /// A small picture, at most 4,096 bytes
        #[arg(value_name = "FILE", required_unless_present_any = ["none", "out"])]
        file: Option<PathBuf>,
        /// Take the picture away
        #[arg(long, conflicts_with = "file")]
        none: bool,
        /// Save the present picture as this file, which must not exist
        #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "none"])]
        out: Option<PathBuf>,
    },
    /// Let only admins write, or everybody
    OnlyAdminsWrite {
        /// Which group.
        #[command(flatten)]
        which: Which,
        /// Let everybody write again
        #[arg(long)]
        off: bool,
    },
    /// Make a link by which anybody who has it can join; the one before holds no more
    Invite {
        /// Which group.
        #[command(flatten)]
        which: Which,
        /// Make none: take the present link back
        #[arg(long)]
        revoke: bool,
    },
    /// Join a group by a link
    Join {
        /// What `godwit group invite` printed: godwit-group:...
        link: GroupLink,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Community {
    /// Make a community of groups that you are an admin of, and print its id
    ///
    /// It is a group of its own, in which only admins write and everybody reads who is in one of its groups.
    /// Send announcements to it as to any group.
    Create {
        /// What it is called; only its members can read it
        #[arg(value_parser = group_name)]
        name: String,
        /// Ids of the groups
        #[arg(value_name = "GROUP", required = true, value_parser = group_id)]
        groups: Vec<GroupId>,
    },
    /// Put groups under a community
    Add(Under),
    /// Take groups out of a community; who is in none of the others leaves it
    Remove(Under),
    /// Print the groups of a community
    Show(OfCommunity),
    /// List the communities
    List,
    /// Leave a community with all its groups
    Leave(OfCommunity),
}

/// Which community.
#[derive(Debug, Args)]
pub(crate) struct OfCommunity {
    /// Id of the community: 32 hexadecimal digits
    #[arg(value_name = "COMMUNITY", value_parser = group_id)]
    pub(crate) community: GroupId,
}

/// Which groups of a community.
#[derive(Debug, Args)]
pub(crate) struct Under {
    /// Id of the community: 32 hexadecimal digits
    #[arg(value_name = "COMMUNITY", value_parser = group_id)]
    pub(crate) community: GroupId,
    /// Ids of the groups
    #[arg(value_name = "GROUP", required = true, value_parser = group_id)]
    pub(crate) groups: Vec<GroupId>,
}

/// Which group.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Id of the group: 32 hexadecimal digits
    #[arg(value_name = "GROUP", value_parser = group_id)]
    pub(crate) group: GroupId,
}

/// Which people of a group.
#[derive(Debug, Args)]
pub(crate) struct Members {
    /// Id of the group: 32 hexadecimal digits
    #[arg(value_name = "GROUP", value_parser = group_id)]
    pub(crate) group: GroupId,
    /// Who
    #[arg(value_name = "HANDLE", required = true)]
    pub(crate) who: Vec<Handle>,
}

/// An id as `group create` prints it, or as chats name it.
fn group_id(text: &str) -> Result<GroupId, IdError> {
    text.strip_prefix("group:").unwrap_or(text).parse()
}

/// What a group is called: something that can be seen.
fn group_name(text: &str) -> Result<String, godwit_client::Error> {
    check_group_name(text).map(|()| text.to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Presence {
    /// Whom
    #[arg(value_name = "HANDLE")]
    pub(crate) with: Handle,

    /// Go on, and print every change
    #[arg(long)]
    pub(crate) watch: bool,

    /// End after this many seconds; without --watch exit code 3 if nothing was known by then
    /// [default: 10 without --watch, no limit with it]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// The chat to open first
    #[arg(value_name = "HANDLE")]
    pub(crate) with: Option<ChatId>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// On the new device, with an empty home: show a code and wait
    Start(LinkStart),
    /// On the account's main device: let the device that shows this code become one of yours
    Approve(Approve),
}

#[derive(Debug, Args)]
pub(crate) struct LinkStart {
    /// What the server printed when it started: godwit://host:port#key
    pub(crate) link: JoinLink,

    /// Seconds to wait for the other device [default: ten minutes, as long as a code is good]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// What the new device shows: godwit-link:...
    #[arg(value_name = "CODE")]
    pub(crate) code: String,

    /// Do not ask whether both devices show the same digits
    #[arg(long)]
    pub(crate) yes: bool,

    /// Do not give the new device what was said so far
    #[arg(long)]
    pub(crate) no_history: bool,

    /// Seconds to wait for the new device [default: ten minutes, as long as a code is good]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevicesCommand {
    /// Take a device away: what waits for it is dropped, and nobody writes to it any more
    Revoke {
        /// Its number, as `godwit devices` shows it
        #[arg(value_name = "ID")]
        device: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryCommand {
    /// Print the 24 words of the account key, to be kept on paper
    Show(RecoveryShow),
}

#[derive(Debug, Args)]
pub(crate) struct RecoveryShow {
    /// Do not ask first
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// What the server printed when it started: godwit://host:port#key
    pub(crate) link: JoinLink,

    /// File with the 24 words [default: standard input]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) words_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) limit: Limit,
}

/// Longest timeout, seconds: ten years. Above, adding it to the present could overflow.
const TIMEOUT_S_MAX: f64 = 10.0 * 365.0 * 86_400.0;

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(s) if (0.0..=TIMEOUT_S_MAX).contains(&s) => Ok(Duration::from_secs_f64(s)),
        _ => Err("give seconds as a number, such as 5 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, ErrorKind> {
        Arguments::try_parse_from(line.split(' ')).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in ["godwit --home /h --json chats", "godwit chats --json --home /h"] {
            let arguments = parse(line).unwrap();
            assert!(arguments.json, "{line}");
            assert_eq!(arguments.home, Some(PathBuf::from("/h")), "{line}");
        }
    }

    #[test]
    fn send_takes_a_text_or_lines_but_not_both_and_not_neither() {
        let Command::Send(send) =
            parse("godwit send bob hi --wait read --timeout 0.5").unwrap().command
        else {
            panic!("not send");
        };
        assert_eq!(send.text.as_deref(), Some("hi"));
        assert_eq!((send.wait, send.timeout), (Wait::Read, Some(Duration::from_millis(500))));
        assert!(parse("godwit send bob --lines").is_ok());
        assert!(parse("godwit send bob --file a.jpg").is_ok());
        assert!(parse("godwit send bob look --file a.opus --voice").is_ok());
        let voice = parse("godwit send bob hi --voice").unwrap_err();
        assert_eq!(voice, ErrorKind::MissingRequiredArgument);
        let lines = parse("godwit send bob --lines --file a.jpg").unwrap_err();
        assert_eq!(lines, ErrorKind::ArgumentConflict);
        assert!(parse("godwit save 0123456789abcdef.1.42 --out a.jpg").is_ok());
        assert_eq!(parse("godwit send bob").unwrap_err(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parse("godwit send bob hi --lines").unwrap_err(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn wrong_handles_links_and_times_are_wrong_usage() {
        for line in [
            "godwit send Bob hi",
            "godwit join nonsense --as alice",
            "godwit send bob hi --timeout -1",
            "godwit send bob hi --timeout=inf",
            "godwit send bob hi --timeout 315360001",
        ] {
            let kind = parse(line).unwrap_err();
            assert!(
                matches!(kind, ErrorKind::ValueValidation | ErrorKind::UnknownArgument),
                "{line}: {kind:?}"
            );
        }
        assert!(parse("godwit send bob hi --timeout 315360000").is_ok());
        assert!(parse("godwit send bob hi --timeout 0").is_ok());
    }

    #[test]
    fn a_text_with_a_dash_follows_two_dashes() {
        let Command::Send(send) = parse("godwit send bob -- -5").unwrap().command else {
            panic!("not send");
        };
        assert_eq!(send.text.as_deref(), Some("-5"));
    }
}
