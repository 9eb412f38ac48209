// How the page speaks to the sandbox: small requests, and one stream of events with polling as its spare.

const POLL_MS = 2000;
const RETRY_STREAM_MS = 10000;

// Returns the JSON of the answer; throws an Error with the sandbox's own sentence, or one that helps.
export async function ask(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error("The sandbox does not answer. Is it running?");
  }
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.error ?? `The sandbox answered ${response.status}.`);
  return told;
}

// hear(name, data) for every event; refresh() whenever events may have been missed.
export function listen({ hear, refresh, link }) {
  let polling = 0;
  const poll = (on) => {
    if (on === Boolean(polling)) return;
    if (on) polling = setInterval(refresh, POLL_MS);
    else { clearInterval(polling); polling = 0; }
  };
  const open = () => {
    const stream = new EventSource("/events");
    stream.addEventListener("hello", () => { link("live"); poll(false); refresh(); });
    for (const name of ["phone", "sms", "sales", "faults"]) {
      stream.addEventListener(name, (event) => hear(name, JSON.parse(event.data)));
    }
    stream.onerror = () => {
      link("away");
      poll(true);
      if (stream.readyState === EventSource.CLOSED) setTimeout(open, RETRY_STREAM_MS);
    };
    addEventListener("pagehide", () => stream.close());
  };
  open();
}
