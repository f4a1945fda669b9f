// A face's answers: what is said, and the probability of everything that could have been.

const MOST = 10;
const percent = (value) => (value > 0 && value < 0.005 ? "<1%" : `${Math.round(value * 100)}%`);
const legible = (name) => name.replaceAll("_", " ");

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function said(answer) {
  const line = element("p", "said");
  if (answer.abstained) {
    line.append("No answer ", element("small", "", "the score lies where the model should rather not say"));
  } else if (answer.value !== undefined && answer.value !== null) {
    line.append(answer.value.toFixed(1));
  } else if (Array.isArray(answer.class)) {
    line.append(answer.class.map(legible).join(", ") || "none of them");
  } else {
    line.append(`${legible(answer.class)} `, element("small", "", percent(answer.probability)));
  }
  return line;
}

function bar(name, value, chosen, threshold) {
  const item = element("li", chosen ? "chosen" : "");
  const track = element("span", "track");
  const fill = element("span", "fill");
  track.setAttribute("aria-hidden", "true");
  fill.style.width = "0";
  requestAnimationFrame(() => requestAnimationFrame(() => (fill.style.width = `${100 * value}%`)));
  track.append(fill);
  if (typeof threshold === "number") {
    const cut = element("span", "cut");
    cut.style.left = `${Math.min(100, 100 * threshold)}%`;
    track.append(cut);
    item.title = `from ${percent(threshold)} it counts as ${legible(name)}`;
  }
  const what = element("span", "what", legible(name));
  what.title = legible(name);
  item.append(what, track, element("b", "", percent(value)));
  return item;
}

export function answers(root, tasks, note) {
  root.replaceChildren(
    ...Object.entries(tasks).map(([name, answer]) => {
      const block = element("div", "task");
      block.append(element("p", "name", legible(name) + (note ? `, ${note}` : "")), said(answer));
      const list = element("ul", "bars");
      const names = Array.isArray(answer.class) ? answer.class : [answer.class];
      const all = Object.entries(answer.probabilities);
      const binary = typeof answer.threshold === "number";
      const shown = binary ? all : [...all].sort((a, b) => b[1] - a[1]).slice(0, MOST);
      shown.forEach(([label, value], place) => {
        const several = answer.threshold && typeof answer.threshold === "object" ? answer.threshold[label] : undefined;
        const threshold = binary && place === 1 ? answer.threshold : several;
        list.append(bar(label, value, names.includes(label), threshold));
      });
      block.append(list);
      if (all.length > shown.length) block.append(element("p", "small", `and ${all.length - shown.length} less likely`));
      return block;
    }),
  );
}
