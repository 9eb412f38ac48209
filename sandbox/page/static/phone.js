// One phone on the desk. The sandbox holds the truth of its session; this draws it and sends the keys.
//
// Views: idle, dial, inbox and message are the phone's own; wait, ussd and lost follow the session.

import { Inbox, clock } from "./inbox.js";
import { drawKeypad, MODES, Writer } from "./keypad.js";
import { Tape } from "./tape.js";
import { ask } from "./wire.js";

const NO_SERVICE_MS = 1500;
const BUZZ_MS = 600;
const SCROLL_PX = 34;
const SOFTKEYS = {
  idle: ["Messages", ""],
  dial: ["Call", "Clear"],
  wait: ["", "Cancel"],
  inbox: ["Open", "Back"],
  message: ["", "Back"],
  lost: ["", ""],
};

export class Phone {
  constructor(element, msisdn, { people, complain, focused }) {
    this.element = element;
    this.people = people;
    this.writer = new Writer();
    this.part = (selector) => element.querySelector(selector);
    this.lcd = this.part(".lcd");
    this.dialled = this.part(".dialled");
    this.answer = this.part(".answer");
    this.words = this.part("[data-testid=screen]");
    this.complain = complain;
    drawKeypad(this.part(".keypad"), (key) => this.press(key), (key) => this.hold(key));
    for (const button of element.querySelectorAll(".controls [data-key]")) {
      button.addEventListener("pointerdown", (event) => event.preventDefault());
      button.addEventListener("click", () => this.press(button.dataset.key));
    }
    for (const label of element.querySelectorAll("[data-soft]")) {
      label.addEventListener("click", () => this.press(label.dataset.soft));
    }
    this.part(".mode").addEventListener("click", () => this.hold("#"));
    this.part(".lose").addEventListener("click", () => this.send("drop"));
    this.tape = new Tape(this);
    this.words.addEventListener("scroll", () => this.drawOverflow());
    element.addEventListener("pointerdown", () => focused(this));
    element.addEventListener("focusin", () => focused(this));
    this.useNumber(msisdn);
  }

  useNumber(msisdn) {
    this.tape.stop();
    this.msisdn = msisdn;
    this.inbox = new Inbox(msisdn);
    this.state = null;
    this.revision = -1;
    this.element.dataset.msisdn = msisdn;
    const person = this.people.find((one) => one.msisdn === msisdn);
    this.part(".owner").textContent = person ? `${person.name}\n${msisdn}` : msisdn;
    this.view("idle");
    this.refresh();
  }

  // Ask for everything again: after a number was chosen, and after events may have been missed.
  async refresh() {
    const mine = this.msisdn;
    try {
      const [state, messages] = await Promise.all([
        ask("GET", `/phones/${mine}`), ask("GET", `/phones/${mine}/sms`),
      ]);
      if (mine !== this.msisdn) return;
      this.inbox.replace(messages);
      this.hearState(state);
      this.tape.hearMessages(messages);
      this.drawInbox();
    } catch (error) {
      this.complain(this, error.message);
    }
  }

  async send(action, body = {}) {
    this.complain(this, "");
    this.tape.send(action, body, this.state?.screen ?? "");
    try {
      this.hearState(await ask("POST", `/phones/${this.msisdn}/${action}`, body));
    } catch (error) {
      this.tape.refused(action);
      this.complain(this, error.message);
    }
  }

  hearState(state) {
    if (state.msisdn !== this.msisdn || state.revision <= this.revision) return;
    const first = this.state === null;
    this.revision = state.revision;
    this.state = state;
    this.until = performance.now() + state.seconds_left * 1000;
    this.tape.hearState(state);
    this.showState(state, first);
    this.drawGauges();
  }

  showState(state, first) {
    const session = ["wait", "ussd"].includes(this.shown);
    if (state.asking) this.view("wait");
    else if (["menu", "end", "network"].includes(state.kind)) this.showWords(state);
    else if (state.kind === "lost" && !first) this.loseService();
    else if (session) this.view("idle");
  }

  showWords(state) {
    this.words.textContent = state.screen;
    this.words.scrollTop = 0;
    this.answer.value = "";
    this.writer.forget();
    this.lcd.classList.toggle("open", state.open);
    this.view("ussd");
  }

  loseService() {
    this.view("lost");
    setTimeout(() => { if (this.shown === "lost") this.view("idle"); }, NO_SERVICE_MS);
  }

  hearSms(message) {
    if (!this.inbox.add(message)) return;
    this.tape.hearMessages([message]);
    if (this.shown === "inbox") this.inbox.move(1);
    this.drawInbox();
    this.element.classList.add("buzz");
    setTimeout(() => this.element.classList.remove("buzz"), BUZZ_MS);
  }

  view(name) {
    this.shown = name;
    this.lcd.dataset.view = name;
    if (name === "idle") this.dialled.value = "";
    const open = this.lcd.classList.contains("open");
    const [left, right] = name === "ussd" ? (open ? ["Send", "Cancel"] : ["OK", ""]) : SOFTKEYS[name];
    this.part("[data-soft=left]").textContent = left;
    this.part("[data-soft=right]").textContent = right;
    this.part(".mode").textContent = MODES[this.writer.mode];
    if (name === "inbox") this.drawInbox();
    this.takeCursor();
    this.drawOverflow();
  }

  // The field that is written into now, if there is one.
  get field() {
    if (this.shown === "dial") return this.dialled;
    if (this.shown === "ussd" && this.state?.open) return this.answer;
    return null;
  }

  takeCursor() {
    const elsewhere = document.activeElement?.closest?.(".sim, .tape, .world, .top");
    if (!elsewhere && this.element.classList.contains("active")) this.field?.focus({ preventScroll: true });
  }

  press(key) {
    const act = { left: "pressLeft", right: "pressRight", call: "pressCall", end: "pressEnd" }[key];
    if (act) this[act]();
    else if (key === "up" || key === "down") this.scroll(key === "down" ? 1 : -1);
    else this.type(key);
  }

  hold(key) {
    if (key === "0" && this.field) this.field.value += "+";
    else if (key === "#" && this.shown === "ussd") this.part(".mode").textContent = this.writer.nextMode();
    else this.press(key);
  }

  type(key) {
    if (this.shown === "idle") this.view("dial");
    if (!this.field) return;
    this.field.value = this.writer.write(this.field.value, key, this.shown === "dial");
    this.field.scrollLeft = this.field.scrollWidth;
  }

  pressLeft() {
    if (this.shown === "idle") { this.inbox.chosen = 0; this.view("inbox"); }
    else if (this.shown === "inbox") this.openMessage();
    else if (this.shown === "ussd" && !this.state.open) this.send("hangup");
    else this.pressCall();
  }

  pressCall() {
    if (this.shown === "dial" && this.dialled.value) this.send("dial", { code: this.dialled.value.trim() });
    else if (this.field && this.answer.value) this.send("reply", { text: this.answer.value });
  }

  pressRight() {
    if (this.shown === "dial") {
      this.dialled.value = this.dialled.value.slice(0, -1);
      if (!this.dialled.value) this.view("idle");
    } else if (this.shown === "message") this.view("inbox");
    else if (this.shown === "inbox") this.view("idle");
    else if (this.shown === "wait" || this.state?.open) this.pressEnd();
  }

  pressEnd() {
    if (this.shown === "wait" || this.shown === "ussd") this.send("hangup");
    else if (this.shown !== "lost") this.view("idle");
  }

  erase() {
    if (this.shown === "dial") this.pressRight();
    else if (this.field) this.field.value = this.field.value.slice(0, -1);
  }

  scroll(step) {
    if (this.shown === "inbox") { this.inbox.move(step); this.drawInbox(); }
    else this.visibleWords?.scrollBy(0, step * SCROLL_PX);
  }

  get visibleWords() {
    return this.part(`[data-for=${this.shown}] .words`);
  }

  openMessage() {
    const message = this.inbox.current;
    if (!message) return;
    this.inbox.markRead(message);
    this.part(".from").textContent = `${message.from} ${clock(message.at)}`;
    this.part(".letter").textContent = message.text;
    this.part(".letter").scrollTop = 0;
    this.view("message");
    this.drawInbox();
  }

  drawInbox() {
    const { unread } = this.inbox;
    this.part(".envelope").hidden = unread === 0;
    this.part("[data-testid=unread]").textContent = unread;
    const news = this.part(".news");
    news.classList.toggle("some", unread > 0);
    news.textContent = unread === 0 ? "" : `${unread} new message${unread === 1 ? "" : "s"}`;
    this.inbox.draw(this.part(".inbox"), () => this.openMessage());
  }

  drawOverflow() {
    const words = this.visibleWords;
    const more = words ? words.scrollHeight - words.scrollTop - words.clientHeight > 4 : false;
    this.lcd.classList.toggle("overflows", more);
  }

  drawClock(now) {
    const time = clock(now);
    this.part(".clock").textContent = time;
    this.part(".big-clock").textContent = time;
    this.part(".date").textContent = new Date(now).toLocaleDateString("en-GB", {
      weekday: "short", day: "numeric", month: "short",
    });
  }

  drawGauges(longest = this.longest) {
    this.longest = longest;
    const left = this.state?.open ? Math.max(0, (this.until - performance.now()) / 1000) : 0;
    const whole = Math.ceil(left);
    const time = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
    gauge(this.part(".time"), this.state?.open ? time : "–", left / longest, left > 0 && left < 20);
    const room = this.state?.screen ? this.state : null;
    this.part(".room label").textContent = room?.encoding === "UCS-2" ? "UCS-2 units" : "Septets";
    gauge(this.part(".room"), room ? `${room.septets} / ${room.limit}` : "–",
      room ? room.septets / room.limit : 0, room ? room.septets > room.limit : false);
  }
}

function gauge(element, text, share, warn) {
  element.querySelector("b").textContent = text;
  element.querySelector(".bar i").style.width = `${Math.min(100, Math.max(0, share * 100))}%`;
  element.classList.toggle("warn", warn);
}
