// What Grafana 10.4 publishes of its dashboards as types, joined to what this repository's dashboards may be: each panel type with its own
// options, field settings and queries, where Grafana's `Panel` takes anything. 10.4 is the oldest version whose package has these.
import type {
  AnnotationQuery,
  Dashboard,
  DataQuery,
  DataSourceRef,
  FieldConfig,
  FieldConfigSource,
  GraphFieldConfig,
  Panel,
  RowPanel,
  TableFieldOptions,
} from '@grafana/schema';
import type { PrometheusDataQuery } from '@grafana/schema/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as TableOptions } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { Options as LinesOptions } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// Grafana publishes no type for a query of PostgreSQL in this package.
interface SqlQuery extends DataQuery {
  editorMode: 'code';
  format: 'table' | 'time_series';
  rawQuery: true;
  rawSql: string;
}

interface Fields<Custom> extends Omit<FieldConfigSource, 'defaults'> {
  defaults: Omit<FieldConfig, 'custom'> & { custom?: Partial<Custom> };
}

interface Of<Type extends string, Options, Custom> extends Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> {
  type: Type;
  datasource: DataSourceRef;
  options: Options;
  fieldConfig: Fields<Custom>;
  targets: Array<PrometheusDataQuery | SqlQuery>;
}

// A mark's query: these stand beside `target` in what Grafana writes, and its types leave them out.
interface Mark extends AnnotationQuery<PrometheusDataQuery> {
  expr: string;
  step: string;
  titleFormat: string;
  textFormat: string;
}

export type Stat = Of<'stat', StatOptions, Record<string, never>>;
export type Table = Of<'table', TableOptions, TableFieldOptions>;
export type Timeseries = Of<'timeseries', LinesOptions, GraphFieldConfig>;
export type Row = RowPanel;
// Panels are held against their own types.
export interface Board extends Omit<Dashboard, 'panels' | 'annotations'> {
  annotations: { list: Mark[] };
  panels: Array<Record<string, unknown>>;
}
