// Writes a transcript of one phone: what is dialled, typed, shown, and received by SMS.
//
// What differs from run to run becomes a placeholder, by the patterns of the language that plays it.
// The page is not told which screens ask for a PIN, so it guesses: at a screen that speaks of one, all
// that is typed is taken for one, except the key of an option.

export const PATTERNS = {
  token: "\\d{4}-\\d{4}-\\d{4}-\\d{4}-\\d{4}",
  day: "\\d\\d/\\d\\d",
  time: "\\d\\d:\\d\\d",
  ref: "[0-9A-HJKMNP-TV-Z]{8}",
};
export const PIN_WORDS = /\bPINs?\b|code secret|ፒን|ሚስጥር|code (that|que|venu)|kode (SMS|dari)|msimbo (ambao|uliopata)|ኮድ ያስገቡ/iu;
const OPTION = /^\d{0,2}$/;
const REMEMBERED = ["token", "ref"];
const ALONE = ["(?<![\\p{L}\\d/-])(?:", ")(?![\\p{L}\\d/-])"];
const FORMS = Object.entries(PATTERNS).map(([kind, form]) => [kind, new RegExp(ALONE.join(form), "gu")]);
const DATE = /(?<!\d)\d\d\/\d\d\/\d{4}(?!\d)/g; // {day} and {year}
const NAME_OR_NUMBER = /^[A-Z0-9 .]+$/; // a line like this shows who it is or how much, no reference

export class Recorder {
  constructor(msisdn, messages, now = new Date()) {
    this.lines = [
      `# Recorded on ${now.toISOString().slice(0, 10)} with ${msisdn}. Look over it: no PIN may stand`,
      "# here, and balances or dates that differ from run to run must be as the next run shows them.",
    ];
    this.heard = new Set(messages.map((message) => message.id));
    this.waiting = [];
    this.values = new Map();
    this.pins = new Map();
    this.began = false;
    this.open = false;
    this.asked = null; // where the line stands whose screen is awaited
  }

  get text() {
    return `${this.lines.join("\n")}\n`;
  }

  dial(code) {
    this.began = true;
    this.ask(["", `dial ${code}`]);
  }

  // `screen`: what the phone shows while this is typed.
  reply(text, screen) {
    if (!this.began) return;
    const secret = PIN_WORDS.test(screen) && !OPTION.test(text);
    this.ask([`> ${secret ? numbered(this.pins, "pin", text) : this.known(text)}`]);
  }

  ask(lines) {
    this.asked = this.lines.length;
    this.lines.push(...lines);
  }

  // The sandbox did not take what was dialled or typed last: it never happened.
  refused() {
    if (this.asked !== null) this.lines.length = this.asked;
    this.settle();
  }

  // A new state of the phone; those in which it still waits for an answer say nothing.
  hearState(state) {
    if (!this.began || state.asking) return;
    const lost = this.asked !== null || this.open;
    if (["menu", "end"].includes(state.kind) || (state.kind === "network" && this.asked !== null)) {
      if (this.asked === null) this.lines.push("# Somebody typed this elsewhere: write here what it was.");
      for (const line of this.places(state.screen).split("\n")) this.lines.push(`< ${line}`);
      if (!state.open) this.lines.push("end");
    } else if (lost) {
      this.lines.push("drop");
    }
    this.open = state.open;
    this.settle();
  }

  hearMessages(messages) {
    for (const message of messages) {
      if (this.heard.has(message.id)) continue;
      this.heard.add(message.id);
      if (this.began) this.waiting.push(message.text);
    }
    if (this.asked === null) this.settle();
  }

  // A message that came before the screen which was awaited is written after that screen.
  settle() {
    this.asked = null;
    for (const text of this.waiting.splice(0)) {
      if (this.lines.at(-1).startsWith("sms<")) this.lines.push("");
      for (const line of this.places(text).split("\n")) this.lines.push(`sms< ${line}`);
    }
  }

  places(text) {
    return text.split("\n").map((line) => this.placesOf(line)).join("\n");
  }

  placesOf(line) {
    let found = line.replace(DATE, "{day}/{year}");
    for (const [kind, form] of FORMS) {
      if (kind === "ref" && NAME_OR_NUMBER.test(line)) continue;
      found = found.replace(form, (value) => this.place(kind, value));
    }
    return found;
  }

  place(kind, value) {
    if (!REMEMBERED.includes(kind)) return `{${kind}}`;
    return /^\d+$/.test(value) ? value : numbered(this.values, kind, value);
  }

  known(text) {
    return this.values.get(text) ?? text;
  }
}

// The placeholder of a value: {ref} for the first, {ref2} for the next, the same for the same.
function numbered(places, kind, value) {
  if (!places.has(value)) {
    const before = [...places.values()].filter((place) => place.startsWith(`{${kind}`)).length;
    places.set(value, `{${kind}${before ? before + 1 : ""}}`);
  }
  return places.get(value);
}
