/** The elements as components. Their scripts are loaded in the browser only. */
import {
  createElement,
  useEffect,
  useImperativeHandle,
  useRef,
  useState,
  type HTMLAttributes,
  type ReactElement,
  type ReactNode,
  type Ref,
  type RefObject,
} from "react";
import { createPortal } from "react-dom";
import type { ClientOptions, HubNotification } from "@notification-hub/client";
import type { ActionDetail, ArrivedDetail, CountDetail, HubInboxElement, HubInboxListElement, InboxTab, OpenDetail, RowsDetail, Theme, Words } from "@notification-hub/inbox";
import type { AddAddressDetail, HubPreferencesElement } from "@notification-hub/inbox/preferences";
import { useOptionalHub } from "./provider.js";

/** The options default to those of the provider. Children have a `slot` of the element, such as `header`. */
interface ElementProps<Element> extends Partial<ClientOptions>, HTMLAttributes<HTMLElement> {
  /** A BCP 47 tag. Default: the language of the page. */
  locale?: string;
  theme?: Theme;
  ref?: Ref<Element>;
}

interface InboxProps<Element> extends ElementProps<Element> {
  /** Texts that replace the texts of the language. */
  words?: Words;
  /** Default: a tab for each view. */
  tabs?: readonly InboxTab[];
  /** Show the notifications of one thread as one row. */
  groupThreads?: boolean;
  /** Renders a row in place of the picture, title, and text of the notification. */
  renderItem?: (notification: HubNotification) => ReactNode;
  /** The URLs of images, by the key of the category. */
  categoryIcons?: Record<string, string>;
  /** Show the number of unread notifications before the title of the page. */
  titleCount?: boolean;
  /** Show the number of unread notifications on the icon of the installed app, where browsers can. */
  appBadge?: boolean;
  /** The user opened a notification. If you cancel the event, the browser does not follow the link. */
  onOpen?: (event: CustomEvent<OpenDetail>) => void;
  /** The user pressed a button of a notification. You can cancel this event in the same way. */
  onAction?: (event: CustomEvent<ActionDetail>) => void;
  onCount?: (event: CustomEvent<CountDetail>) => void;
  /** A notification has arrived. If you cancel the event, no toast is shown. */
  onArrived?: (event: CustomEvent<ArrivedDetail>) => void;
}

export interface HubInboxProps extends InboxProps<HubInboxElement> {
  /** Keep the panel open after you have handled a link, unless the panel fills the screen. */
  keepOpen?: boolean;
  /** Show notifications that arrive while the panel is closed in a corner of the page. */
  toasts?: boolean;
}

export type HubInboxListProps = InboxProps<HubInboxListElement>;

export interface HubPreferencesProps extends ElementProps<HubPreferencesElement> {
  /** The path of the service worker on your origin. Default: `/sw.js`. */
  worker?: string;
  /** The user wants to add an address for a channel. If you cancel the event, let the user add it on your page. */
  onAddAddress?: (event: CustomEvent<AddAddressDetail>) => void;
}

/** The bell with the inbox. */
export function HubInbox({ keepOpen = false, toasts = false, ...props }: HubInboxProps): ReactElement {
  return useInboxElement("hub-inbox", props, { keepOpen, toasts });
}

/** The inbox without the bell, as a part of a page. */
export function HubInboxList(props: HubInboxListProps): ReactElement {
  return useInboxElement("hub-inbox-list", props);
}

function useInboxElement<Element extends HubInboxListElement>(name: string, props: InboxProps<Element>, own: Partial<Element> = {}): ReactElement {
  const { ref, endpoint, token, getToken, locale, theme, words, tabs, groupThreads = false, renderItem, ...others } = props;
  const { categoryIcons, titleCount = false, appBadge = false, onOpen, onAction, onCount, onArrived, children, ...attributes } = others;
  const properties = { endpoint, token, getToken, locale, theme, words, tabs, groupThreads, categoryIcons, titleCount, appBadge, ...own };
  const element = useElement<Element>(ref, { ...properties, renderItem: renderItem && emptyRow } as Partial<Element>);
  const rows = useRows(element, renderItem);
  useEffect(() => void import("@notification-hub/inbox"), []);
  useListener(element, "hub-open", onOpen);
  useListener(element, "hub-action", onAction);
  useListener(element, "hub-count", onCount);
  useListener(element, "hub-arrived", onArrived);
  return createElement(name, { ...attributes, ref: element, suppressHydrationWarning: true }, children, rows);
}

/** The element leaves its rows empty, and React renders into them. */
const emptyRow = (): string => "";

function useRows(element: RefObject<HTMLElement | null>, renderItem?: (notification: HubNotification) => ReactNode): ReactNode {
  const [rows, setRows] = useState<RowsDetail["rows"]>(new Map());
  useListener<RowsDetail>(element, "hub-rows", ({ detail }) => setRows(detail.rows));
  return renderItem && [...rows].map(([row, notification]) => createPortal(renderItem(notification), row, notification.id));
}

/** The settings of the user. */
export function HubPreferences(props: HubPreferencesProps): ReactElement {
  const { ref, endpoint, token, getToken, locale, theme, worker = "/sw.js", onAddAddress, ...attributes } = props;
  const element = useElement(ref, { endpoint, token, getToken, locale, theme, worker });
  useEffect(() => void import("@notification-hub/inbox/preferences"), []);
  useListener(element, "hub-add-address", onAddAddress);
  return createElement("hub-preferences", { ...attributes, ref: element, suppressHydrationWarning: true });
}

/** Return a ref of the element, whose properties are set after each render, also before its script has loaded. */
function useElement<Element extends HTMLElement>(ref: Ref<Element> | undefined, properties: Partial<Element>): RefObject<Element | null> {
  const element = useRef<Element>(null);
  const options = useOptionalHub()?.options;
  useImperativeHandle(ref, () => element.current as Element);
  useEffect(() => {
    const { endpoint, token, getToken } = properties as Partial<ClientOptions>;
    const isOwn = endpoint || token || getToken;
    // Each property is set once: the element connects again if its endpoint changes, also if it changes back.
    Object.assign(element.current as Element, { ...properties, ...(isOwn ? undefined : options) });
  });
  return element;
}

/** Call the latest listener with each event. */
function useListener<Detail>(element: RefObject<HTMLElement | null>, name: string, listener?: (event: CustomEvent<Detail>) => void): void {
  const latest = useRef(listener);
  useEffect(() => void (latest.current = listener));
  useEffect(() => {
    const controller = new AbortController();
    element.current?.addEventListener(name, (event) => latest.current?.(event as CustomEvent<Detail>), controller);
    return () => controller.abort();
  }, [element, name]);
}
