// The answers for a face: a headline with the certain answers, and the probability of every class.

const MAX_BARS = 10;
const percent = (value) => (value > 0 && value < 0.005 ? "<1%" : `${Math.round(value * 100)}%`);
const readable = (name) => name.replaceAll("_", " ");

// `evidence`: by task and class, the AUC and precision on the validation split.
export function showAnswers(root, tasks, note, evidence = {}) {
  root.replaceChildren(
    ...Object.entries(tasks).map(([name, answer]) => {
      const block = element("div", "task");
      block.append(element("p", "name", readable(name) + (note ? `, ${note}` : "")), headline(answer));
      const list = element("ul", "bars");
      const names = Array.isArray(answer.class) ? answer.class : [answer.class];
      const all = Object.entries(answer.probabilities);
      const binary = typeof answer.threshold === "number";
      const known = all.filter(([label]) => !answer.not_learned.includes(label));
      const shown = binary ? all : [...known].sort((a, b) => b[1] - a[1]).slice(0, MAX_BARS);
      shown.forEach(([label, value], index) => {
        const byLabel = answer.threshold && typeof answer.threshold === "object" ? answer.threshold[label] : undefined;
        const threshold = binary && index === 1 ? answer.threshold : byLabel;
        list.append(bar(label, value, names.includes(label), threshold, evidence[name]?.[label]));
      });
      block.append(list, ...notes(answer, binary ? 0 : known.length - shown.length));
      return block;
    }),
  );
}

function headline(answer) {
  const line = element("p", "answer");
  if (answer.learned === false) {
    const [[top]] = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
    const what = answer.not_learned.includes(top) ? readable(top) : "these classes";
    line.append("No answer ", element("small", "", `on the validation split, the model did not recognize ${what} better than chance`));
  } else if (answer.abstained) {
    line.append("No answer ", element("small", "", "the score is in the model's abstain band"));
  } else if (answer.value !== undefined && answer.value !== null) {
    line.append(answer.value.toFixed(1));
  } else if (!answer.headline.length) {
    line.append("No certain answer");
  } else if (Array.isArray(answer.class)) {
    line.append(answer.headline.map(readable).join(", "));
  } else {
    line.append(`${readable(answer.class)} `, element("small", "", percent(answer.probability)));
  }
  return line;
}

// Notes on what the bars do not show.
function notes(answer, hidden) {
  const texts = [];
  if (hidden > 0) texts.push(`and ${hidden} more with lower probabilities`);
  const less = (Array.isArray(answer.class) ? answer.class : [answer.class]).filter((one) => one && !answer.headline.includes(one));
  if (less.length) {
    texts.push(`Less certain: ${less.map(readable).join(", ")}. The probability exceeds the threshold (the mark on the bar) ` +
      "but not 50%, and the precision on the validation split is below 80%.");
  }
  if (answer.not_learned.length) texts.push(`Not learned: ${answer.not_learned.map(readable).join(", ")}.`);
  return texts.map((text) => element("p", "small", text));
}

function bar(name, value, chosen, threshold, evidence) {
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
    item.title = `${readable(name)} is predicted at a probability of ${percent(threshold)} or more`;
    if (typeof evidence?.precision === "number") item.title += `; precision on the validation split: ${percent(evidence.precision)}`;
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
