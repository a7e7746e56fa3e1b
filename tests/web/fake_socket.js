/** A WebSocket whose other side is the test, and a clock that the test moves. */

export class FakeSocket {
  static made = [];
  readyState = 0;
  bufferedAmount = 0;
  sent = [];

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
    FakeSocket.made.push(this);
  }

  static get last() {
    return FakeSocket.made.at(-1);
  }

  send(data) {
    this.sent.push(data);
  }

  close(code = 1005, reason = "") {
    this.closed = { code, reason };
  }

  /** What was sent as JSON, pings left out. */
  get messages() {
    return this.#json().filter(({ type }) => type !== "ping");
  }

  get pings() {
    return this.#json().filter(({ type }) => type === "ping");
  }

  #json() {
    return this.sent.filter((data) => typeof data === "string").map((data) => JSON.parse(data));
  }

  // ---- the server's side

  open() {
    this.onopen?.({});
  }

  say(message) {
    this.onmessage?.({ data: typeof message === "object" && !(message instanceof ArrayBuffer) ? JSON.stringify(message) : message });
  }

  end(code, reason = "") {
    this.onclose?.({ code, reason });
  }
}

/** Let promises run on. */
export async function settled() {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
