// The keypad: its keys, long presses, and writing letters by pressing a key several times.

const KEYS = [
  ["1", ".,?!"], ["2", "abc"], ["3", "def"],
  ["4", "ghi"], ["5", "jkl"], ["6", "mno"],
  ["7", "pqrs"], ["8", "tuv"], ["9", "wxyz"],
  ["*", "+"], ["0", " "], ["#", ""],
];
const SHOWN_UNDER = { "1": "", "0": "␣", "*": "+", "#": "abc" };
const LETTERS = new Map(KEYS);
const LONG_PRESS_MS = 550;
const SAME_LETTER_MS = 900;
export const MODES = ["123", "abc", "ABC"];

// Draw the twelve keys; press(key) for a short press, hold(key) for a long one.
export function drawKeypad(place, press, hold) {
  for (const [key, letters] of KEYS) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.key = key;
    button.dataset.testid = `key-${key}`;
    button.tabIndex = -1;
    const digit = document.createElement("b");
    digit.textContent = key;
    const under = document.createElement("small");
    under.textContent = SHOWN_UNDER[key] ?? letters;
    button.append(digit, under);
    place.append(button);
    listen(button, key, press, hold);
  }
}

function listen(button, key, press, hold) {
  let timer = 0;
  let held = false;
  button.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the field on the screen keeps its cursor
    held = false;
    timer = setTimeout(() => { held = true; hold(key); }, LONG_PRESS_MS);
  });
  for (const over of ["pointerup", "pointerleave", "pointercancel"]) {
    button.addEventListener(over, () => clearTimeout(timer));
  }
  button.addEventListener("click", () => { if (!held) press(key); });
}

// What a field holds after a key; in letter mode the same key again within a moment turns the letter.
export class Writer {
  constructor() {
    this.mode = 0;
    this.forget();
  }

  forget() {
    this.lastKey = "";
    this.lastAt = 0;
    this.turn = 0;
  }

  nextMode() {
    this.mode = (this.mode + 1) % MODES.length;
    this.forget();
    return MODES[this.mode];
  }

  write(text, key, asDigits) {
    if (asDigits || this.mode === 0 || key === "#") {
      this.forget();
      return text + key;
    }
    const choices = LETTERS.get(key) + key;
    const now = performance.now();
    const again = key === this.lastKey && now - this.lastAt < SAME_LETTER_MS;
    this.turn = again ? (this.turn + 1) % choices.length : 0;
    this.lastKey = key;
    this.lastAt = now;
    const letter = MODES[this.mode] === "ABC" ? choices[this.turn].toUpperCase() : choices[this.turn];
    return (again ? text.slice(0, -1) : text) + letter;
  }
}
