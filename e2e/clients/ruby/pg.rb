# ruby-pg: typed results by hand, prepared statements, COPY, LISTEN.
require 'pg'
require_relative 'steps'

connection = PG.connect
put = lambda { |key, value| connection.exec_params("SELECT cache_put('rubypg', $1, $2)", [key, { value: value, format: 1 }]) }
get = lambda { |key| connection.exec_params("SELECT value FROM blob WHERE ns = 'rubypg' AND key = $1", [key], 1).column_values(0) }

run(
  connect: -> { equal(connection.exec('SELECT 1').getvalue(0, 0), '1') },
  text: lambda {
    put.call('text', 'héllo')
    equal(connection.exec("SELECT value_text FROM blob WHERE ns = 'rubypg' AND key = 'text'").getvalue(0, 0), 'héllo')
  },
  binary: lambda {
    put.call('bytes', EVERY_BYTE)
    equal(get.call('bytes'), [EVERY_BYTE])
  },
  error: lambda {
    begin
      connection.exec("INSERT INTO blob (ns, key, value) VALUES ('rubypg', 'text', 'again')")
      raise 'no error'
    rescue PG::UniqueViolation => e
      equal(e.result.error_field(PG::Result::PG_DIAG_SQLSTATE), '23505')
    end
  },
  transaction: lambda {
    begin
      connection.transaction do
        put.call('tx', 'rolled back')
        raise KeyError
      end
    rescue KeyError
      equal(get.call('tx'), [])
    end
    connection.transaction { put.call('tx', 'committed') }
    equal(get.call('tx'), ['committed'])
  },
  invalidate: lambda {
    connection.exec("SELECT cache_put('rubypg', 'tagged', 'x', tags => '{t}')")
    equal(connection.exec("SELECT invalidate_tags('rubypg', 't')").getvalue(0, 0), '1')
    equal(get.call('tagged'), [])
  },
  introspect: lambda {
    rows = connection.exec("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'blob'").values
    contains(rows, %w[value bytea])
  },
  more: lambda {
    connection.prepare('put', "SELECT cache_put('rubypg', $1, $2)")
    20.times { |i| connection.exec_prepared('put', ["many#{i}", 'x']) }
    connection.copy_data("COPY blob (ns, key, value) FROM STDIN") { connection.put_copy_data("rubypg\tcopied\t\\\\x78\n") }
    equal(get.call('copied'), ['x'])
    connection.exec('LISTEN news')
    connection.exec("NOTIFY news, 'hello'")
    equal(connection.wait_for_notify(10) { |_, _, payload| equal(payload, 'hello') }, 'news')
  }
)
