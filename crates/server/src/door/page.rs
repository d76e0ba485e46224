//! The page at `/`: says what this is and how to join. Plain, until the web client takes its place.

use crate::node::Node;

/// The page as HTML.
pub(super) fn page(node: &Node) -> String {
    let join = escape(&node.identity().join.to_string());
    let invite = if node.invite_only() { " --invite CODE" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Godwit</title>\n\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;\
         color-scheme:light dark}}code{{overflow-wrap:anywhere}}</style>\n</head>\n<body>\n\
         <h1>This is a Godwit server</h1>\n\
         <p>Godwit is a messenger. Messages are encrypted from end to end: this server carries them \
         and cannot read them.</p>\n\
         <p>To join, type in a terminal:</p>\n\
         <p><code>godwit join '{join}' --as yourname{invite}</code></p>\n\
         <p>The part after <code>#</code> is this server's key. Whoever gave you this address can \
         tell you whether it is right.</p>\n</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}
