// Holds dashboards against JSON schemas that are made of Grafana's own types, and then holds mistakes against them, each of which must be
// found: a schema that takes everything would say nothing. Usage: node validate.mjs FILE ...
import { readFileSync } from 'node:fs';
import Ajv from 'ajv';
import { createGenerator } from 'ts-json-schema-generator';

const generator = createGenerator({ path: 'types.ts', tsconfig: 'tsconfig.json', additionalProperties: false });
const ajv = new Ajv({ allErrors: true, strict: false });
const compiled = (type) => ajv.compile(generator.createSchema(type));
const board = compiled('Board');
const panels = { stat: compiled('Stat'), table: compiled('Table'), timeseries: compiled('Timeseries'), row: compiled('Row') };

function mistakesOf(validate, value, where) {
  if (validate(value)) return [];
  return validate.errors.map(({ instancePath, message, params }) => `${where}${instancePath}: ${message} ${JSON.stringify(params)}`);
}

function mistakes(dashboard, name) {
  const ofPanels = dashboard.panels.flatMap((panel) => {
    const where = `${name}: panel ${panel.id} (${panel.title})`;
    const validate = panels[panel.type];
    return validate ? mistakesOf(validate, panel, where) : [`${where}: no schema for a panel of type ${panel.type}`];
  });
  return [...mistakesOf(board, dashboard, name), ...ofPanels];
}

const of = (dashboard, type) => dashboard.panels.find((panel) => panel.type === type);
const MISTAKES = {
  'an unknown field': (dashboard) => { dashboard.tittle = 'Fleet'; },
  'an unknown option of a stat': (dashboard) => { of(dashboard, 'stat').options.colourMode = 'value'; },
  'an unknown option of a table': (dashboard) => { of(dashboard, 'table').options.showHeaders = true; },
  'a query without an id': (dashboard) => { delete of(dashboard, 'stat').targets[0].refId; },
  'an unknown field of a query': (dashboard) => { of(dashboard, 'stat').targets[0].exprr = 'up'; },
  'an unknown style of lines': (dashboard) => { of(dashboard, 'timeseries').fieldConfig.defaults.custom.drawStyle = 'lines'; },
  'an unknown field setting': (dashboard) => { of(dashboard, 'timeseries').fieldConfig.defaults.units = 'mps'; },
  'a width in words': (dashboard) => { of(dashboard, 'table').gridPos.w = 'wide'; },
  'a panel of a type that is not there': (dashboard) => { of(dashboard, 'stat').type = 'state'; },
  'a variable that is refreshed in no known way': (dashboard) => { dashboard.templating.list[1].refresh = 7; },
};

const dashboards = process.argv.slice(2).map((name) => [name, JSON.parse(readFileSync(name, 'utf8'))]);
const found = dashboards.flatMap(([name, dashboard]) => mistakes(dashboard, name));
for (const [name, dashboard] of dashboards) {
  for (const [mistake, make] of Object.entries(MISTAKES)) {
    const wrong = structuredClone(dashboard);
    make(wrong);
    if (mistakes(wrong, name).length === 0) found.push(`${name}: the schema takes ${mistake}`);
  }
}
found.forEach((line) => console.error(line));
console.log(`${dashboards.length} dashboards, ${found.length} mistakes`);
process.exit(found.length ? 1 : 0);
