// The Record button of a phone, and the box with what was recorded: to read, to copy, to download.

import { Recorder } from "./recorder.js";

const COPIED_MS = 1500;
const DOWNLOAD_MS = 60000;

export class Tape {
  constructor(phone) {
    this.phone = phone;
    this.recorder = null;
    this.button = phone.part(".record");
    this.box = phone.part(".tape textarea");
    this.button.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps its cursor
    this.button.addEventListener("click", () => (this.recorder ? this.stop() : this.start()));
    phone.part(".copy").addEventListener("click", () => this.copy());
    phone.part(".download").addEventListener("click", () => this.download());
  }

  start() {
    this.recorder = new Recorder(this.phone.msisdn, this.phone.inbox.messages);
    this.phone.part(".tape").hidden = false;
    this.draw();
  }

  // What was recorded stays in the box, and may now be corrected there.
  stop() {
    if (!this.recorder) return;
    this.recorder = null;
    this.draw();
    this.box.scrollIntoView({ block: "nearest" });
  }

  send(action, body, screen) {
    if (action === "dial") this.recorder?.dial(body.code);
    if (action === "reply") this.recorder?.reply(body.text, screen);
    this.draw();
  }

  refused(action) {
    if (action === "dial" || action === "reply") this.recorder?.refused();
    this.draw();
  }

  hearState(state) {
    this.recorder?.hearState(state);
    this.draw();
  }

  hearMessages(messages) {
    this.recorder?.hearMessages(messages);
    this.draw();
  }

  draw() {
    this.button.setAttribute("aria-pressed", String(this.recorder !== null));
    this.button.querySelector("span").textContent = this.recorder ? "Stop" : "Record";
    this.box.readOnly = this.recorder !== null;
    if (!this.recorder || this.box.value === this.recorder.text) return;
    this.box.value = this.recorder.text;
    this.box.scrollTop = this.box.scrollHeight;
  }

  async copy() {
    const button = this.phone.part(".copy");
    try {
      await navigator.clipboard.writeText(this.box.value);
      button.textContent = "Copied";
    } catch {
      this.box.select(); // a browser that keeps its clipboard to itself still has its own keys
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, COPIED_MS);
  }

  download() {
    const link = document.createElement("a");
    link.download = "transcript.txt";
    link.href = URL.createObjectURL(new Blob([this.box.value], { type: "text/plain" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), DOWNLOAD_MS);
  }
}
