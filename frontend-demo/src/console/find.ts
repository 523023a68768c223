/** Finds people, sends, deliveries, and notifications by a text that identifies them. */
import { request } from "./client";
import { Find, type Found } from "./operations";
import { channelName, sendStatusName, statusName } from "./labels";
import { isHidden } from "./roles";
import { address } from "./router";

/** One result, as lists show it. `to` is the address of its page. */
export interface Result {
  readonly kind: string;
  readonly title: string;
  readonly detail: string;
  readonly to: string;
}

/** Return the records that a text identifies, exact matches first. */
export async function find(text: string, signal?: AbortSignal): Promise<Result[]> {
  const { find: found } = await request(Find, { text }, signal);
  return found.map(toResult);
}

function toResult({ id, title, user, send, delivery, notification }: Found): Result {
  if (user) {
    const name = isHidden(user.name) ? "" : user.name;
    const detail = [name ? id : "", user.email, user.phone].filter(Boolean).join(" · ");
    return { kind: "Person", title: name || id, detail, to: address("users", id) };
  }
  if (send) return { kind: "Send", title: isHidden(title) ? id : title || id, detail: sendStatusName(send.status), to: address("sends", id) };
  if (delivery) {
    const name = `${channelName(delivery.channel)} to ${delivery.userId}`;
    return { kind: "Delivery", title: name, detail: statusName(delivery.status), to: address("deliveries", id) };
  }
  const recipient = notification?.userId ?? "";
  return { kind: "Notification", title: isHidden(title) ? id : title || id, detail: `to ${recipient}`, to: address("users", recipient) };
}
