// libpqxx: C++ transactions, prepared statements, streams.
#include <functional>
#include <iostream>
#include <pqxx/pqxx>
#include <stdexcept>
#include <string>

static void check(bool ok, const std::string &what)
{
	if (!ok) throw std::runtime_error(what);
}

static void step(const std::string &name, const std::function<void()> &run)
{
	std::string line = "ok";
	try {
		run();
	} catch (const std::exception &e) {
		line = e.what();
		line = line.substr(0, line.find('\n'));
	}
	std::cout << name << ": " << line << "\n";
}

int main()
{
	pqxx::connection db{""};
	std::string every;
	for (int i = 0; i < 256; i++) every.push_back(static_cast<char>(i));
	auto put = [](pqxx::transaction_base &tx, const std::string &key, const std::string &value) {
		tx.exec_params("SELECT cache_put('libpqxx', $1, $2)", key, pqxx::binarystring(value));
	};
	auto get = [&db](const std::string &key) {
		pqxx::nontransaction tx{db};
		return tx.exec_params("SELECT value FROM blob WHERE ns = 'libpqxx' AND key = $1", key);
	};
	step("connect", [&] { pqxx::nontransaction tx{db}; check(tx.exec1("SELECT 1")[0].as<int>() == 1, "SELECT 1"); });
	step("text", [&] {
		{ pqxx::nontransaction tx{db}; put(tx, "text", "hello"); }
		pqxx::nontransaction tx{db};
		check(tx.exec1("SELECT value_text FROM blob WHERE ns = 'libpqxx' AND key = 'text'")[0].as<std::string>() == "hello", "text");
	});
	step("binary", [&] {
		{ pqxx::nontransaction tx{db}; put(tx, "bytes", every); }
		check(pqxx::binarystring(get("bytes")[0][0]).str() == every, "bytes");
	});
	step("error", [&] {
		try {
			pqxx::nontransaction tx{db};
			tx.exec0("INSERT INTO blob (ns, key, value) VALUES ('libpqxx', 'text', 'again')");
		} catch (const pqxx::unique_violation &e) {
			check(e.sqlstate() == "23505", e.sqlstate());
			return;
		}
		check(false, "no error");
	});
	step("transaction", [&] {
		{ pqxx::work tx{db}; put(tx, "tx", "rolled back"); tx.abort(); }
		check(get("tx").empty(), "rolled back");
		{ pqxx::work tx{db}; put(tx, "tx", "committed"); tx.commit(); }
		check(get("tx").size() == 1, "committed");
	});
	step("invalidate", [&] {
		pqxx::nontransaction tx{db};
		tx.exec1("SELECT cache_put('libpqxx', 'tagged', 'x', tags => '{t}')");
		check(tx.exec1("SELECT invalidate_tags('libpqxx', 't')")[0].as<int>() == 1, "count");
	});
	step("introspect", [&] {
		pqxx::nontransaction tx{db};
		check(tx.exec("SELECT 1 FROM information_schema.columns WHERE table_name = 'blob' AND column_name = 'value' AND data_type = 'bytea'").size() == 1, "columns");
	});
	step("more", [&] {
		db.prepare("get", "SELECT value_text FROM blob WHERE ns = 'libpqxx' AND key = $1");
		pqxx::work tx{db};
		for (int i = 0; i < 20; i++) check(tx.exec_prepared1("get", "text")[0].as<std::string>() == "hello", "prepared");
		tx.commit();
	});
	return 0;
}
