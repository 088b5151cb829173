// A small sum for this browser: find a number so that the SHA-256 of "sum:number" begins with so many zero bits.
// A module: the form on another site imports it to solve the sum there.
const K = [], H = [];
for (let n = 2; K.length < 64; n++) {
  let prime = true;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
  if (!prime) continue;
  if (H.length < 8) H.push((Math.sqrt(n) * 4294967296) | 0);
  K.push((Math.cbrt(n) * 4294967296) | 0);
}
const words = new Int32Array(64);
const turn = (x, n) => (x >>> n) | (x << (32 - n));

// The first 32 bits of the SHA-256 of at most 55 ASCII characters.
function start(text) {
  words.fill(0, 0, 16);
  for (let i = 0; i < text.length; i++) words[i >> 2] |= text.charCodeAt(i) << (24 - 8 * (i & 3));
  words[text.length >> 2] |= 128 << (24 - 8 * (text.length & 3));
  words[15] = text.length * 8;
  for (let i = 16; i < 64; i++) {
    const a = words[i - 15], b = words[i - 2];
    words[i] = words[i - 16] + words[i - 7]
      + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
  }
  let [a, b, c, d, e, f, g, h] = H;
  for (let i = 0; i < 64; i++) {
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + words[i]) | 0;
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
  }
  return (H[0] + a) >>> 0;
}

// Call done with the answer, in pieces so that the page stays usable. Messages and not timers: those are a second apart in a
// tab that is not shown, such as while its reader looks into their inbox.
export function solve(sum, bits, done) {
  const rest = 32 - Number(bits), { port1, port2 } = new MessageChannel();
  let number = 0;
  port1.onmessage = () => {
    for (const end = number + 5000; number < end; number++) {
      if (start(sum + ":" + number) >>> rest === 0) {
        port1.close();
        return done(sum + ":" + number);
      }
    }
    port2.postMessage(null);
  };
  port2.postMessage(null);
}

function watch(place) {
  const form = place.closest("form"), field = form.elements.work;
  document.getElementById("without").remove();
  let begun = false, pressed = null;
  function begin() {
    if (begun) return;
    begun = true;
    solve(place.dataset.sum, place.dataset.bits, (answer) => {
      field.value = answer;
      place.textContent = "";
      if (pressed) form.requestSubmit(pressed.button);
    });
  }
  form.addEventListener("focusin", begin);
  form.addEventListener("input", begin);
  form.addEventListener("submit", (event) => {
    if (field.value) return;
    event.preventDefault();
    pressed = { button: event.submitter };
    place.textContent = place.dataset.wait;
    begin();
  });
}

const place = document.getElementById("work");
if (place?.dataset.sum) watch(place);
