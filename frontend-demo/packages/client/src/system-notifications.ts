/** Close system notifications that are no longer unread. */

const DELAY_MS = 100;

/**
 * System notifications are closed by pages, not by push messages, because browsers require that every push message
 * shows a notification. `isUnread` returns undefined for notifications that are not loaded.
 */
export class SystemNotifications {
  readonly #isUnread: (id: string) => boolean | undefined;
  #conditions: ((id: string) => boolean)[] = [];

  constructor(isUnread: (id: string) => boolean | undefined) {
    this.#isUnread = isUnread;
  }

  /** Close read notifications, once for all calls within a short time. `isGone` checks those that are not loaded. */
  closeStale(isGone: (id: string) => boolean = () => false): void {
    if (this.#conditions.push(isGone) > 1) return;
    setTimeout(() => {
      const conditions = this.#conditions.splice(0);
      void close((id) => {
        const unread = this.#isUnread(id);
        return unread === undefined ? conditions.some((isGone) => isGone(id)) : !unread;
      });
    }, DELAY_MS);
  }
}

async function close(isStale: (id: string) => boolean): Promise<void> {
  try {
    const registration = await navigator.serviceWorker?.getRegistration();
    for (const shown of (await registration?.getNotifications()) ?? []) {
      const id = (shown.data as { hub?: { id: string } } | null)?.hub?.id;
      if (id && isStale(id)) shown.close();
    }
  } catch (error) {
    console.warn("hub: cannot close system notifications", error);
  }
}
