// The answers for a face: the predicted class and the probability of every class.

const MAX_BARS = 10;
const percent = (value) => (value > 0 && value < 0.005 ? "<1%" : `${Math.round(value * 100)}%`);
const readable = (name) => name.replaceAll("_", " ");

export function showAnswers(root, tasks, note) {
  root.replaceChildren(
    ...Object.entries(tasks).map(([name, answer]) => {
      const block = element("div", "task");
      block.append(element("p", "name", readable(name) + (note ? `, ${note}` : "")), headline(answer));
      const list = element("ul", "bars");
      const names = Array.isArray(answer.class) ? answer.class : [answer.class];
      const all = Object.entries(answer.probabilities);
      const binary = typeof answer.threshold === "number";
      const shown = binary ? all : [...all].sort((a, b) => b[1] - a[1]).slice(0, MAX_BARS);
      shown.forEach(([label, value], index) => {
        const byLabel = answer.threshold && typeof answer.threshold === "object" ? answer.threshold[label] : undefined;
        const threshold = binary && index === 1 ? answer.threshold : byLabel;
        list.append(bar(label, value, names.includes(label), threshold));
      });
      block.append(list);
      if (all.length > shown.length) block.append(element("p", "small", `and ${all.length - shown.length} with lower probability`));
      return block;
    }),
  );
}

function headline(answer) {
  const line = element("p", "answer");
  if (answer.abstained) {
    line.append("No answer ", element("small", "", "the score is in the model's abstain band"));
  } else if (answer.value !== undefined && answer.value !== null) {
    line.append(answer.value.toFixed(1));
  } else if (Array.isArray(answer.class)) {
    line.append(answer.class.map(readable).join(", ") || "none");
  } else {
    line.append(`${readable(answer.class)} `, element("small", "", percent(answer.probability)));
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
    const mark = element("span", "threshold");
    mark.style.left = `${Math.min(100, 100 * threshold)}%`;
    track.append(mark);
    item.title = `${readable(name)} is answered from ${percent(threshold)}`;
  }
  const label = element("span", "label", readable(name));
  label.title = readable(name);
  item.append(label, track, element("b", "", percent(value)));
  return item;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
