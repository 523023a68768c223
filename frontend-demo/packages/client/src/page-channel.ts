/**
 * A channel to the other tabs of a browser. It is closed while the page is not shown, because browsers do not keep a page
 * with an open channel for "Back". Messages of that time are lost.
 */
export class PageChannel<Message> {
  readonly #name: string;
  readonly #onMessage: (message: Message) => void;
  #channel: BroadcastChannel | undefined;

  constructor(name: string, onMessage: (message: Message) => void) {
    this.#name = name;
    this.#onMessage = onMessage;
    this.#open();
    addEventListener("pagehide", this.#close);
    addEventListener("pageshow", this.#open);
  }

  post(message: Message): void {
    this.#channel?.postMessage(message);
  }

  close(): void {
    removeEventListener("pagehide", this.#close);
    removeEventListener("pageshow", this.#open);
    this.#close();
  }

  readonly #open = (): void => {
    if (this.#channel) return;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => this.#onMessage(data);
  };

  readonly #close = (): void => {
    this.#channel?.close();
    this.#channel = undefined;
  };
}
