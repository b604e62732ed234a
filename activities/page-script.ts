/**
 * What a page does in the browser: draws the curves, and where it is live, fetches its main part again and draws anew.
 * It is text, since there is no build step for browsers; test/e2e/dashboard.test.ts runs it in one.
 */
export interface Chart {
  /** Id of the element that it is drawn into. */
  id: string;
  label: string;
  points: [x: number, y: number][];
  /** Iterations from which training began again. */
  marks: number[];
}

const SCRIPT = `
const plots = new Map();
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lines = (marks) => ({ hooks: { draw: [(u) => {
  u.ctx.save();
  u.ctx.strokeStyle = css('--bad');
  u.ctx.setLineDash([4, 4]);
  for (const mark of marks) {
    const x = u.valToPos(mark, 'x', true);
    u.ctx.beginPath();
    u.ctx.moveTo(x, u.bbox.top);
    u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
    u.ctx.stroke();
  }
  u.ctx.restore();
}] } });
const draw = () => {
  for (const { plot } of plots.values()) plot.destroy();
  plots.clear();
  const data = document.getElementById('charts');
  for (const { id, label, points, marks } of data ? JSON.parse(data.textContent) : []) {
    const element = document.getElementById(id);
    if (!element || points.length < 2) continue;
    const axis = { stroke: css('--soft'), grid: { stroke: css('--line') }, ticks: { stroke: css('--line') } };
    const plot = new uPlot({
      width: element.clientWidth, height: 240, plugins: [lines(marks)],
      scales: { x: { time: false } }, axes: [{ ...axis }, { ...axis, size: 70 }],
      series: [{ label: 'iteration' }, { label, stroke: css('--accent'), width: 1.5 }],
    }, [points.map(([x]) => x), points.map(([, y]) => y)], element);
    plots.set(id, { plot, element });
  }
  document.documentElement.dataset.drawn = String(plots.size);
};
addEventListener('resize', () => plots.forEach(({ plot, element }) => plot.setSize({ width: element.clientWidth, height: 240 })));
draw();
`;

const LIVE = (refreshMs: number) => `
const again = async () => {
  try {
    const answer = await fetch(location.pathname + '?part=main', { cache: 'no-store' });
    if (answer.ok) {
      document.querySelector('main').innerHTML = await answer.text();
      draw();
    }
    document.body.style.opacity = answer.ok ? '' : '0.5';
  } catch {
    document.body.style.opacity = '0.5';
  }
  // The run is over: to ask for it again would replay it each time.
  if (!document.querySelector('[data-over]')) setTimeout(again, ${refreshMs});
};
if (!document.querySelector('[data-over]')) setTimeout(again, ${refreshMs});
`;

export const drawing = (refreshMs?: number): string => `${SCRIPT}${refreshMs ? LIVE(refreshMs) : ''}`;
