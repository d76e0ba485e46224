run_as_root = true
daemonize = false
data_path = "@DIR@/data"
pidfile = "@DIR@/prosody.pid"
network_backend = "epoll"
-- As packaged: Nagle's algorithm, and a backlog of 128 that refuses a crowd.
network_settings = { nagle = false; tcp_backlog = 16384 }
modules_enabled = { "roster"; "saslauth"; "tls"; "smacks"; "ping"; "posix"; }
modules_disabled = { "s2s" }
interfaces = { "127.0.0.1" }
local_interfaces = { "127.0.0.1" }
c2s_ports = { @PORT@ }
c2s_direct_tls_ports = { @TLS_PORT@ }
s2s_ports = { }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
@STORE@
ssl = { certificate = "@TLS@/leaf.pem"; key = "@TLS@/leaf.key"; }
log = { warn = "*console" }
VirtualHost "localhost"
