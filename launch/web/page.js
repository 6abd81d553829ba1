// The page: net.onnx, run by onnxruntime-web, and directions.safetensors (empty: none).

import * as ort from "./ort/ort.wasm.bundle.min.mjs";
import {add, latents, readDirections} from "./latents.js";

const MOST_SEEDS = 2 ** 32;
const $ = (id) => document.getElementById(id);
const all = (css) => [...document.querySelectorAll(css)];
let session, sizes, directions = [];

function say(text, wrong = false) {
  $("state").textContent = text;
  $("state").classList.toggle("wrong", wrong);
}

async function load() {
  ort.env.wasm.numThreads = 1; // several need headers that static hosts do not send
  const [network, file] = await Promise.all([fetch("net.onnx"), fetch("directions.safetensors")]);
  for (const {ok, url, status} of [network, file]) if (!ok) throw new Error(`${url}: ${status}`);
  const stored = await file.arrayBuffer();
  session = await ort.InferenceSession.create(await network.arrayBuffer());
  const shapes = Object.fromEntries(session.inputMetadata.map((x) => [x.name, x.shape]));
  const [, layers, w] = shapes.move ?? [0, 1, 0];
  sizes = {z: shapes.z[2], layers, w, classes: shapes.labels?.[2] ?? 0};
  if (stored.byteLength && sizes.w) directions = readDirections(stored);
}

// --- What is drawn ---

/** The inputs of the picture of a seed; of the large one mixed and moved. */
function inputsOf(seed, second, amounts) {
  const {layers, classes} = sizes;
  const mixed = second === null ? [] : mixedLayers();
  const own = latents(seed, sizes.z);
  const other = mixed.length ? latents(second, sizes.z) : own;
  const z = new Float32Array(layers * sizes.z), move = new Float32Array(layers * sizes.w);
  for (let layer = 0; layer < layers; layer++) {
    z.set(mixed.includes(layer) ? other : own, layer * sizes.z);
    directions.forEach(({space, step, rows}, i) => {
      const [array, width] = space === "z" ? [z, sizes.z] : [move, sizes.w];
      if (amounts[i]) add(array, layer * width, rows(layer), amounts[i] * step);
    });
  }
  const labels = new Float32Array(layers * classes);
  if (classes) for (let i = 0; i < layers; i++) labels[i * classes + Number($("class").value)] = 1;
  const given = {
    z: [z, [1, layers, sizes.z]],
    move: [move, [1, layers, sizes.w]],
    labels: [labels, [1, layers, classes]],
    psi: [Float32Array.of($("psi").value), []],
    noise: [Float32Array.of($("noise").value), []],
  };
  return Object.fromEntries(session.inputNames.map((name) => [name, given[name]]));
}

const drawn = new Map(); // the last pictures, by their inputs

/** The pixels of a picture; milliseconds if the network was run, else 0. */
async function pixelsOf(inputs) {
  const key = Object.values(inputs).map(([numbers]) => numbers.join()).join(";");
  if (drawn.has(key)) return [drawn.get(key), 0];
  const tensors = Object.entries(inputs).map(
    ([name, [numbers, shape]]) => [name, new ort.Tensor("float32", numbers, shape)]);
  const start = performance.now();
  const {images} = await session.run(Object.fromEntries(tensors));
  const [, height, width, channels] = images.dims;
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) { // one channel or two are grey; alpha is not shown
      const level = images.data[i * channels + (channels < 3 ? 0 : c)];
      pixels.data[4 * i + c] = Math.floor(level * 127.5 + 128); // which saturates
    }
    pixels.data[4 * i + 3] = 255;
  }
  drawn.set(key, pixels);
  if (drawn.size > 9) drawn.delete(drawn.keys().next().value);
  return [pixels, performance.now() - start];
}

async function show(id, inputs) {
  const [pixels, spent] = await pixelsOf(inputs);
  Object.assign($(id), {width: pixels.width, height: pixels.height});
  $(id).getContext("2d").putImageData(pixels, 0, 0);
  return spent;
}

let wanted = false, drawing = false;

/** Draws what is chosen now; what was chosen meanwhile is drawn afterwards, once. */
async function draw() {
  wanted = true;
  if (drawing) return;
  drawing = true;
  try {
    while (wanted) {
      wanted = false;
      const seed = seedOf("seed"), second = seedOf("seed2");
      const amounts = all("#sliders input").map((x) => Number(x.value));
      const spent = await show("picture", inputsOf(seed, second, amounts));
      say(spent ? `Drawn in ${spent.toFixed(1)} ms on this device.` : "");
      await show("first", inputsOf(seed, null, []));
      if (sizes.w) await show("second", inputsOf(second, null, []));
    }
  } catch (error) {
    say(error.message, true);
  }
  drawing = false;
}

function seedOf(id) {
  const text = $(id).value, seed = Number(text);
  if (text === "" || !Number.isInteger(seed) || seed < 0 || seed >= MOST_SEEDS) {
    throw new Error(`Give a seed: a whole number from 0 to ${MOST_SEEDS - 1}.`);
  }
  return seed;
}

function mixedLayers() {
  return all("#layers button").flatMap((x, i) => x.ariaPressed === "true" ? [i] : []);
}

// --- Controls ---

function slider(name) {
  const row = document.createElement("label");
  row.className = "row";
  const text = name.replaceAll("_", " ");
  const input = Object.assign(document.createElement("input"),
    {type: "range", min: -4, max: 4, step: 0.1, value: 0, id: `slider-${name}`});
  row.append(text[0].toUpperCase() + text.slice(1), input, document.createElement("output"));
  return row;
}

function build() {
  for (const row of all("[data-input]")) row.hidden = !session.inputNames.includes(row.dataset.input);
  for (const part of all(".styles")) part.hidden = !sizes.w;
  $("classes").hidden = !sizes.classes;
  $("class").append(...Array.from({length: sizes.classes}, (_, i) => new Option(i, i)));
  for (let layer = 0; layer < sizes.layers; layer++) {
    const button = document.createElement("button");
    Object.assign(button, {textContent: 2 ** (Math.floor(layer / 2) + 2), ariaPressed: "false"});
    button.addEventListener("click", () => {
      button.ariaPressed = button.ariaPressed === "true" ? "false" : "true";
      draw();
    });
    $("layers").append(button);
  }
  $("attributes").hidden = !directions.length;
  $("sliders").append(...directions.map(({name}) => slider(name)));
  $("reset").addEventListener("click", () => {
    for (const input of all("#sliders input")) input.value = 0;
    refresh();
  });
  for (const button of all("[data-seed]")) {
    button.addEventListener("click", () => {
      $(button.dataset.seed).value = Math.floor(Math.random() * MOST_SEEDS);
      refresh();
    });
  }
  $("save").addEventListener("click", () => {
    const attributes = {download: `seed${$("seed").value}.png`, href: $("picture").toDataURL()};
    Object.assign($("save"), attributes);
  });
  $("pixels").addEventListener("change",
    () => $("pictures").classList.toggle("single", $("pixels").checked));
  document.addEventListener("input", refresh);
}

/** Writes the values of sliders beside them, and draws. */
function refresh() {
  for (const input of all("input[type=range]")) {
    input.nextElementSibling.value = Number(input.value).toFixed(input.step < 0.1 ? 2 : 1);
  }
  return draw();
}

try {
  await load();
  build();
  await refresh();
  $("page").hidden = false;
} catch (error) {
  say(`The network cannot be run here: ${error.message}`, true);
}
