// libolm at the other end of a pipe, for tests/seal/olm.rs: one JSON command a line in, one JSON
// answer a line out. The package's folder comes as the first argument.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const Olm = createRequire(import.meta.url)(process.argv[2]);
await Olm.init();
const account = new Olm.Account();
account.create();
account.generate_one_time_keys(1);
let session = null;

const commands = {
  keys: () => ({
    identity: JSON.parse(account.identity_keys()).curve25519,
    one_time: Object.values(JSON.parse(account.one_time_keys()).curve25519)[0],
  }),
  start: ({ identity, one_time }) => {
    session = new Olm.Session();
    session.create_outbound(account, identity, one_time);
    return {};
  },
  seal: ({ text }) => session.encrypt(text),
  open: ({ type, body }) => {
    if (type === 0 && session === null) {
      session = new Olm.Session();
      session.create_inbound(account, body);
    }
    return { text: session.decrypt(type, body) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  console.log(JSON.stringify(commands[command.do](command)));
}
