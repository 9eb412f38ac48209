// The messages of one number, and which of them were read on this page (kept in the browser).

const MOST_REMEMBERED = 300;

export class Inbox {
  constructor(msisdn) {
    this.store = `kibanda.read.${msisdn}`;
    this.messages = [];
    this.read = new Set(JSON.parse(localStorage.getItem(this.store) ?? "[]"));
    this.chosen = 0;
  }

  // Newest first, as a phone lists them. Returns true when there is one that was not here before.
  replace(messages) {
    const known = new Set(this.messages.map((message) => message.id));
    this.messages = [...messages].reverse();
    return this.messages.some((message) => !known.has(message.id));
  }

  add(message) {
    if (this.messages.some((other) => other.id === message.id)) return false;
    this.messages.unshift(message);
    return true;
  }

  get unread() {
    return this.messages.filter((message) => !this.read.has(message.id)).length;
  }

  get current() {
    return this.messages[this.chosen];
  }

  move(step) {
    const last = this.messages.length - 1;
    this.chosen = Math.min(Math.max(this.chosen + step, 0), Math.max(last, 0));
  }

  markRead(message) {
    this.read.add(message.id);
    localStorage.setItem(this.store, JSON.stringify([...this.read].slice(-MOST_REMEMBERED)));
  }

  draw(list, open) {
    list.replaceChildren(...this.messages.map((message, index) => {
      const row = document.createElement("li");
      row.dataset.testid = "sms";
      row.classList.toggle("unread", !this.read.has(message.id));
      row.classList.toggle("chosen", index === this.chosen);
      row.append(cell("i", this.read.has(message.id) ? "·" : "✉"), cell("span", message.from),
        cell("span", clock(message.at)), cell("span", message.text));
      row.addEventListener("click", () => { this.chosen = index; open(); });
      return row;
    }));
    list.children[this.chosen]?.scrollIntoView({ block: "nearest" });
  }
}

export function clock(at) {
  return new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function cell(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
