# ActiveRecord over ruby-pg: models, reflection, aggregates.
require 'active_record'
require_relative 'steps'

ActiveRecord::Base.establish_connection(adapter: 'postgresql', host: ENV.fetch('PGHOST'), port: ENV.fetch('PGPORT'), username: ENV.fetch('PGUSER'),
                                        password: ENV.fetch('PGPASSWORD'), database: ENV.fetch('PGDATABASE'), sslmode: ENV.fetch('PGSSLMODE'))

# An entry of the cache.
class Blob < ActiveRecord::Base
  self.table_name = 'blob'
  self.primary_key = nil
end

# A row of statistics.
class Namespace < ActiveRecord::Base
  self.table_name = 'cache_namespaces'
  self.primary_key = 'ns'
end

connection = ActiveRecord::Base.connection
mine = Blob.where(ns: 'rails')
put = lambda { |key, value| connection.exec_query("SELECT cache_put('rails', $1, $2)", 'put', [
  ActiveRecord::Relation::QueryAttribute.new('key', key, ActiveRecord::Type::String.new),
  ActiveRecord::Relation::QueryAttribute.new('value', value, ActiveRecord::Type::Binary.new)
]) }

run(
  connect: -> { equal(connection.select_value('SELECT 1'), 1) },
  text: lambda {
    put.call('text', 'héllo')
    equal(mine.where(key: 'text').pick(:value_text), 'héllo')
  },
  binary: lambda {
    put.call('bytes', EVERY_BYTE)
    equal(mine.where(key: 'bytes').pick(:value), EVERY_BYTE)
  },
  error: lambda {
    begin
      connection.execute("INSERT INTO blob (ns, key, value) VALUES ('rails', 'text', 'again')")
      raise 'no error'
    rescue ActiveRecord::RecordNotUnique => e
      equal(e.cause.result.error_field(PG::Result::PG_DIAG_SQLSTATE), '23505')
    end
  },
  transaction: lambda {
    ActiveRecord::Base.transaction do
      put.call('tx', 'rolled back')
      raise ActiveRecord::Rollback
    end
    equal(mine.where(key: 'tx').pick(:key), nil)
    ActiveRecord::Base.transaction { put.call('tx', 'committed') }
    equal(mine.where(key: 'tx').pick(:key), 'tx')
  },
  invalidate: lambda {
    Blob.upsert_all([{ ns: 'rails', key: 'tagged', value: 'x', tags: ['t'] }], unique_by: %i[ns key])
    equal(connection.select_value("SELECT invalidate_tags('rails', 't')"), 1)
  },
  introspect: lambda {
    contains(connection.tables, 'blob')
    equal(connection.columns('blob').find { |c| c.name == 'value' }.sql_type, 'bytea')
    equal(connection.primary_keys('blob'), %w[ns key])
    connection.indexes('blob')
    connection.foreign_keys('blob')
  },
  more: lambda {
    Blob.insert_all((1..20).map { |i| { ns: 'rails', key: "many#{i}", value: 'x' } }, unique_by: %i[ns key])
    equal(mine.where("key LIKE 'many%'").order(:key).limit(2).pluck(:key), %w[many1 many10])
    equal(mine.where("key LIKE 'many%'").count, 20)
    raise 'no entries' if Namespace.find('rails').entries < 20
  }
)
